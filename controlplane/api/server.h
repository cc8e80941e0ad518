// HTTP over one listening socket (libmicrohttpd), driven from outside: no thread of its own. Over a Unix socket, who is
// at the other end is asked of the kernel: root and this process's own user may do everything, whoever else the
// socket's mode (0660) lets in may only read. Over TCP everybody may read, and a connection is for one answer.
// Limits: connections, time, header and body bytes; a slow client blocks nobody.
// After run() the caller asks `deadline_ns` anew.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "controlplane/install/descriptor.h"
#include "dataplane/base/address.h"
#include "dataplane/base/result.h"

struct MHD_Daemon;

namespace sky::controlplane {

struct Request {
  std::string method;
  std::string path;
  std::string body;
  bool admin = false;
};

struct Response {
  unsigned status = 200;
  std::string body;
  std::string type = "application/json";
  std::string allow{};  ///< with 405: the methods that there are
};

class HttpServer {
 public:
  static constexpr unsigned kMostConnections = 1024;  ///< over a Unix socket
  static constexpr unsigned kMostStrangers = 16;      ///< connections over TCP,
  static constexpr unsigned kMostOfOneAddress = 8;    ///< and of them from one address
  static constexpr unsigned kIdleSeconds = 10;
  static constexpr uint64_t kStrangerNs = 10'000'000'000;  ///< a connection over TCP ends, however busy it is
  static constexpr size_t kMostBodyBytes = 4096;
  static constexpr size_t kConnectionBytes = 16 << 10;

  /// To be called exactly once, in the handler or later; the client waits that long. After a later call run() is due.
  using Responder = std::function<void(Response)>;
  using Handler = std::function<void(const Request&, Responder)>;

  /// Takes the place of a socket that nobody listens at any more; fails when another process serves it.
  static Result<std::unique_ptr<HttpServer>> listen(const std::string& path, Handler handler);
  /// Over TCP; `[::]` is every address of both families. Fails with the kernel's word where the address is not this
  /// machine's, or is in use.
  static Result<std::unique_ptr<HttpServer>> listen(const TcpAddress& endpoint, Handler handler);
  ~HttpServer();

  int epoll_fd() const;
  /// `now_ns` of CLOCK_MONOTONIC.
  void run(uint64_t now_ns);
  /// When `run` is due though the descriptor is silent; UINT64_MAX when never.
  uint64_t deadline_ns(uint64_t now_ns) const;

 private:
  struct Exchange;   // one request and its answer
  struct Callbacks;  // what libmicrohttpd calls
  HttpServer(Handler handler, std::string path) : handler_(std::move(handler)), path_(std::move(path)) {}
  static Result<std::unique_ptr<HttpServer>> start(Descriptor listener, Handler handler, std::string path);
  bool local() const { return !path_.empty(); }
  void answer(const std::shared_ptr<Exchange>& exchange);

  Handler handler_;
  std::string path_;  ///< of the Unix socket; empty over TCP
  MHD_Daemon* daemon_ = nullptr;
  uint64_t now_ns_ = 0;
  std::set<std::shared_ptr<Exchange>> waiting_;  ///< suspended until their responder is called
  std::map<int, uint64_t> strangers_;            ///< descriptors of connections over TCP, and when each has to end
};

}  // namespace sky::controlplane
