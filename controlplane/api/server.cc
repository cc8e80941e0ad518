#include "controlplane/api/server.h"

#include <microhttpd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <optional>
#include <utility>

#include "controlplane/install/descriptor.h"

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
      auto exchange = std::make_shared<Exchange>(connection, Request{method, url, {}, is_admin(connection)});
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
    if (exchange->response) return respond(*exchange);
    exchange->suspended = true;
    server->waiting_.insert(exchange);
    MHD_suspend_connection(connection);
    return MHD_YES;
  }

  static MHD_Result respond(const Exchange& exchange) {
    const std::string& body = exchange.response->body;
    MHD_Response* response =
        MHD_create_response_from_buffer(body.size(), const_cast<char*>(body.data()), MHD_RESPMEM_MUST_COPY);
    if (response == nullptr) return MHD_NO;
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, "application/json");
    const MHD_Result queued = MHD_queue_response(exchange.connection, exchange.response->status, response);
    MHD_destroy_response(response);
    return queued;
  }

  static void on_completed(void*, MHD_Connection*, void** state, MHD_RequestTerminationCode) {
    const std::unique_ptr<std::shared_ptr<Exchange>> exchange(static_cast<Handle>(std::exchange(*state, nullptr)));
    if (exchange) (*exchange)->connection = nullptr;
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
  std::unique_ptr<HttpServer> server(new HttpServer(std::move(handler)));
  server->daemon_ = MHD_start_daemon(MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME, 0, nullptr, nullptr,
                                     Callbacks::on_request, server.get(), MHD_OPTION_LISTEN_SOCKET, listener->get(),
                                     MHD_OPTION_CONNECTION_LIMIT, kMostConnections, MHD_OPTION_CONNECTION_TIMEOUT,
                                     kIdleSeconds, MHD_OPTION_CONNECTION_MEMORY_LIMIT, kConnectionBytes,
                                     MHD_OPTION_NOTIFY_COMPLETED, Callbacks::on_completed, nullptr, MHD_OPTION_END);
  if (server->daemon_ == nullptr) return fail("{}: cannot start the HTTP server", path);
  listener->release();  // the daemon closes it
  server->path_ = path;
  return server;
}

HttpServer::~HttpServer() {
  if (daemon_ == nullptr) return;
  unlink(path_.c_str());
  for (const auto& exchange : std::exchange(waiting_, {})) {
    exchange->response = Response{503, R"({"error": "the control plane is going down"})"};
    if (exchange->connection != nullptr) MHD_resume_connection(exchange->connection);
  }
  MHD_run(daemon_);
  MHD_stop_daemon(daemon_);
}

int HttpServer::epoll_fd() const {
  return MHD_get_daemon_info(daemon_, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd;
}

void HttpServer::run() {
  MHD_run(daemon_);
}

uint64_t HttpServer::deadline_ns(uint64_t now_ns) const {
  MHD_UNSIGNED_LONG_LONG wait_ms = 0;
  if (MHD_get_timeout(daemon_, &wait_ms) != MHD_YES) return UINT64_MAX;
  return now_ns + wait_ms * kMillisecond;
}

}  // namespace sky::controlplane
