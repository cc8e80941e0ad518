// HTTP over one Unix socket (libmicrohttpd), driven from outside: no thread of its own. Who is at the other end is
// asked of the kernel: root and this process's own user may do everything, whoever else the socket's mode (0660) lets
// in may only read. Limits: connections, idle time, header and body bytes; a slow client blocks nobody.
// After run() the caller asks `deadline_ns` anew.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <set>
#include <string>

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
  std::string body;  ///< JSON
};

class HttpServer {
 public:
  static constexpr unsigned kMostConnections = 1024;
  static constexpr unsigned kIdleSeconds = 10;
  static constexpr size_t kMostBodyBytes = 4096;
  static constexpr size_t kConnectionBytes = 16 << 10;

  /// To be called exactly once, in the handler or later; the client waits that long. After a later call run() is due.
  using Responder = std::function<void(Response)>;
  using Handler = std::function<void(const Request&, Responder)>;

  /// Takes the place of a socket that nobody listens at any more; fails when another process serves it.
  static Result<std::unique_ptr<HttpServer>> listen(const std::string& path, Handler handler);
  ~HttpServer();

  int epoll_fd() const;
  void run();
  /// When `run` is due though the descriptor is silent; UINT64_MAX when never.
  uint64_t deadline_ns(uint64_t now_ns) const;

 private:
  struct Exchange;   // one request and its answer
  struct Callbacks;  // what libmicrohttpd calls
  explicit HttpServer(Handler handler) : handler_(std::move(handler)) {}
  void answer(const std::shared_ptr<Exchange>& exchange);

  Handler handler_;
  std::string path_;
  MHD_Daemon* daemon_ = nullptr;
  std::set<std::shared_ptr<Exchange>> waiting_;  ///< suspended until their responder is called
};

}  // namespace sky::controlplane
