#include "controlplane/turned_server.h"

#include <utility>

namespace sky::controlplane {

Result<> TurnedServer::prepare(EventLoop& loop) {
  loop_ = &loop;
  auto timer = loop.timer([this] { turn(); });
  if (!timer) return std::unexpected(timer.error());
  timer_ = std::move(*timer);
  return {};
}

Result<> TurnedServer::take(std::unique_ptr<HttpServer> server) {
  auto watch = loop_->watch(server->epoll_fd(), [this] { turn(); });
  if (!watch) return std::unexpected(watch.error());
  server_ = std::move(server);
  watch_ = std::move(*watch);
  return {};
}

void TurnedServer::turn() {
  if (!server_) return;
  server_->run(EventLoop::now_ns());
  timer_.arm(server_->deadline_ns(EventLoop::now_ns()));
}

}  // namespace sky::controlplane
