#include "controlplane/api/server.h"

#include <microhttpd.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>
#include <utility>

namespace sky::controlplane {
namespace {

constexpr int kBacklog = 128;
constexpr uint64_t kMillisecond = 1'000'000;

/// Read, or read and write: decided by who connected, as the kernel remembers it.
bool is_admin(MHD_Connection* connection) {
  const auto* info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
  ucred peer{};
  socklen_t length = sizeof(peer);
  if (info == nullptr || getsockopt(info->connect_fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0) return false;
  return peer.uid == 0 || peer.uid == geteuid();
}

Result<Descriptor> listening_socket(const TcpAddress& endpoint) {
  const bool v4 = endpoint.address.family == Family::ipv4;
  sockaddr_in address4{};
  address4.sin_family = AF_INET;
  address4.sin_port = htons(endpoint.port);
  std::memcpy(&address4.sin_addr, endpoint.address.bytes.data(), sizeof(address4.sin_addr));
  sockaddr_in6 address6{};
  address6.sin6_family = AF_INET6;
  address6.sin6_port = htons(endpoint.port);
  std::memcpy(&address6.sin6_addr, endpoint.address.bytes.data(), sizeof(address6.sin6_addr));
  const auto* name = v4 ? reinterpret_cast<const sockaddr*>(&address4) : reinterpret_cast<const sockaddr*>(&address6);

  Descriptor listener(socket(v4 ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!listener) return fail("{}: {}", to_string(endpoint), std::strerror(errno));
  const int yes = 1, no = 0;
  // What an earlier process of this address had open is no reason to wait; a listener is.
  setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
  if (!v4) setsockopt(listener.get(), IPPROTO_IPV6, IPV6_V6ONLY, &no, sizeof(no));
  if (bind(listener.get(), name, v4 ? sizeof(address4) : sizeof(address6)) != 0 ||
      ::listen(listener.get(), kBacklog) != 0) {
    return fail("{}: {}", to_string(endpoint), std::strerror(errno));
  }
  return listener;
}

Result<Descriptor> listening_socket(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) {
    return fail("{}: found a path of {} bytes, wanted at most {}", path, path.size(), sizeof(address.sun_path) - 1);
  }
  path.copy(address.sun_path, path.size());
  const auto* name = reinterpret_cast<const sockaddr*>(&address);
  Descriptor probe(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (connect(probe.get(), name, sizeof(address)) == 0 || errno == EAGAIN)
    return fail("{}: another process serves it", path);
  if (errno == ECONNREFUSED) unlink(path.c_str());

  Descriptor listener(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const mode_t before = umask(0117);
  const int bound = bind(listener.get(), name, sizeof(address));
  umask(before);
  if (bound != 0 || ::listen(listener.get(), kBacklog) != 0) return fail("{}: {}", path, std::strerror(errno));
  return listener;
}

}  // namespace

struct HttpServer::Exchange {
  MHD_Connection* connection;  ///< null when the client is gone
  Request request;
  bool too_large = false;
  bool asked = false;  ///< the handler has it
  bool suspended = false;
  std::optional<Response> response;
};

struct HttpServer::Callbacks {
  using Handle = std::shared_ptr<Exchange>*;

  static MHD_Result on_request(void* cls, MHD_Connection* connection, const char* url, const char* method, const char*,
                               const char* data, size_t* size, void** state) {
    auto* server = static_cast<HttpServer*>(cls);
    if (*state == nullptr) {
      const bool admin = server->local() && is_admin(connection);
      auto exchange = std::make_shared<Exchange>(connection, Request{method, url, {}, admin});
      *state = new std::shared_ptr<Exchange>(std::move(exchange));
      return MHD_YES;
    }
    const std::shared_ptr<Exchange> exchange = *static_cast<Handle>(*state);
    if (*size > 0) {
      exchange->too_large |= exchange->request.body.size() + *size > kMostBodyBytes;
      if (!exchange->too_large) exchange->request.body.append(data, *size);
      *size = 0;
      return MHD_YES;
    }
    if (!std::exchange(exchange->asked, true)) server->answer(exchange);
    if (exchange->response) return respond(*exchange, server->local());
    exchange->suspended = true;
    server->waiting_.insert(exchange);
    MHD_suspend_connection(connection);
    return MHD_YES;
  }

  static MHD_Result respond(const Exchange& exchange, bool again) {
    const auto& [status, body, type, allow] = *exchange.response;
    MHD_Response* response =
        MHD_create_response_from_buffer(body.size(), const_cast<char*>(body.data()), MHD_RESPMEM_MUST_COPY);
    if (response == nullptr) return MHD_NO;
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type.c_str());
    if (!allow.empty()) MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, allow.c_str());
    if (!again) MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
    const MHD_Result queued = MHD_queue_response(exchange.connection, status, response);
    MHD_destroy_response(response);
    return queued;
  }

  static void on_completed(void*, MHD_Connection*, void** state, MHD_RequestTerminationCode) {
    const std::unique_ptr<std::shared_ptr<Exchange>> exchange(static_cast<Handle>(std::exchange(*state, nullptr)));
    if (exchange) (*exchange)->connection = nullptr;
  }

  static void on_connection(void* cls, MHD_Connection* connection, void**, MHD_ConnectionNotificationCode code) {
    auto* server = static_cast<HttpServer*>(cls);
    const int fd = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
    if (code == MHD_CONNECTION_NOTIFY_CLOSED) server->strangers_.erase(fd);
    if (code == MHD_CONNECTION_NOTIFY_STARTED) server->strangers_[fd] = server->now_ns_ + kStrangerNs;
  }
};

void HttpServer::answer(const std::shared_ptr<Exchange>& exchange) {
  if (exchange->too_large) {
    exchange->response = Response{413, R"({"error": "found a larger body, wanted at most 4096 bytes"})"};
    return;
  }
  handler_(exchange->request, [this, exchange](Response response) {
    if (exchange->connection == nullptr || exchange->response) return;
    exchange->response = std::move(response);
    if (!std::exchange(exchange->suspended, false)) return;
    waiting_.erase(exchange);
    MHD_resume_connection(exchange->connection);
  });
}

Result<std::unique_ptr<HttpServer>> HttpServer::listen(const std::string& path, Handler handler) {
  auto listener = listening_socket(path);
  if (!listener) return std::unexpected(listener.error());
  return start(std::move(*listener), std::move(handler), path);
}

Result<std::unique_ptr<HttpServer>> HttpServer::listen(const TcpAddress& endpoint, Handler handler) {
  auto listener = listening_socket(endpoint);
  if (!listener) return std::unexpected(listener.error());
  return start(std::move(*listener), std::move(handler), {});
}

Result<std::unique_ptr<HttpServer>> HttpServer::start(Descriptor listener, Handler handler, std::string path) {
  std::unique_ptr<HttpServer> server(new HttpServer(std::move(handler), std::move(path)));
  const bool local = server->local();
  std::vector<MHD_OptionItem> options{
      {MHD_OPTION_LISTEN_SOCKET, listener.get(), nullptr},
      {MHD_OPTION_CONNECTION_LIMIT, local ? kMostConnections : kMostStrangers, nullptr},
      {MHD_OPTION_CONNECTION_TIMEOUT, kIdleSeconds, nullptr},
      {MHD_OPTION_CONNECTION_MEMORY_LIMIT, kConnectionBytes, nullptr},
      {MHD_OPTION_NOTIFY_COMPLETED, reinterpret_cast<intptr_t>(&Callbacks::on_completed), nullptr}};
  if (!local) {
    options.push_back({MHD_OPTION_PER_IP_CONNECTION_LIMIT, kMostOfOneAddress, nullptr});
    options.push_back(
        {MHD_OPTION_NOTIFY_CONNECTION, reinterpret_cast<intptr_t>(&Callbacks::on_connection), server.get()});
  }
  options.push_back({MHD_OPTION_END, 0, nullptr});
  server->daemon_ =
      MHD_start_daemon(MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME, 0, nullptr, nullptr, Callbacks::on_request,
                       server.get(), MHD_OPTION_ARRAY, options.data(), MHD_OPTION_END);
  if (server->daemon_ == nullptr) return fail("{}: cannot start the HTTP server", local ? server->path_ : "metrics");
  listener.release();  // the daemon closes it
  return server;
}

HttpServer::~HttpServer() {
  if (daemon_ == nullptr) return;
  if (local()) unlink(path_.c_str());
  const Response going_down{503, R"({"error": "the control plane is going down"})"};
  // Requests that came at the last moment: what answered them so far may be gone.
  handler_ = [&](const Request&, const Responder& respond) { respond(going_down); };
  for (const auto& exchange : std::exchange(waiting_, {})) {
    exchange->response = going_down;
    if (exchange->connection != nullptr) MHD_resume_connection(exchange->connection);
  }
  MHD_run(daemon_);
  MHD_stop_daemon(daemon_);
}

int HttpServer::epoll_fd() const {
  return MHD_get_daemon_info(daemon_, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd;
}

void HttpServer::run(uint64_t now_ns) {
  now_ns_ = now_ns;
  MHD_run(daemon_);
  // libmicrohttpd counts silence alone: a client that sends a byte now and then would stay.
  std::erase_if(strangers_, [&](const auto& stranger) {
    if (stranger.second > now_ns) return false;
    shutdown(stranger.first, SHUT_RDWR);
    return true;
  });
}

uint64_t HttpServer::deadline_ns(uint64_t now_ns) const {
  uint64_t deadline_ns = UINT64_MAX;
  for (const auto& [fd, end_ns] : strangers_) deadline_ns = std::min(deadline_ns, end_ns);
  MHD_UNSIGNED_LONG_LONG wait_ms = 0;
  if (MHD_get_timeout(daemon_, &wait_ms) != MHD_YES) return deadline_ns;
  return std::min<uint64_t>(deadline_ns, now_ns + wait_ms * kMillisecond);
}

}  // namespace sky::controlplane
