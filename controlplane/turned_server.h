// An HttpServer that the event loop turns: when its descriptor has something, and when its time is up.
#pragma once

#include <memory>

#include "controlplane/api/server.h"
#include "controlplane/event_loop.h"

namespace sky::controlplane {

class TurnedServer {
 public:
  /// `loop` outlives it. Once, before anything else.
  Result<> prepare(EventLoop& loop);
  /// Turns it from now on.
  Result<> take(std::unique_ptr<HttpServer> server);
  explicit operator bool() const { return server_ != nullptr; }
  /// A connection that waited for its answer does not wake its server.
  void wake() { timer_.arm(EventLoop::now_ns()); }

 private:
  void turn();

  EventLoop* loop_ = nullptr;
  std::unique_ptr<HttpServer> server_;
  EventLoop::Watch watch_;
  EventLoop::Timer timer_;
};

}  // namespace sky::controlplane
