#include "controlplane/dataplane_client.h"

#include <utility>

#include "dataplane/base/log.h"

namespace sky::controlplane {

DataplaneClient::DataplaneClient(EventLoop& loop, std::string socket_path, std::optional<uid_t> dataplane_user,
                                 size_t most_rows, Attachment::Sink sink, Attachment::SeenSink seen)
    : loop_(loop),
      socket_path_(std::move(socket_path)),
      dataplane_user_(dataplane_user),
      most_rows_(most_rows),
      sink_(std::move(sink)),
      seen_(std::move(seen)) {}

Result<> DataplaneClient::start() {
  auto timer = loop_.timer([this] { on_timer(); });
  if (!timer) return std::unexpected(timer.error());
  timer_ = std::move(*timer);
  ask();
  return {};
}

void DataplaneClient::on_timer() {
  if (!socket_) {
    ask();
  } else if (attachment_ && !attachment_->attached()) {
    drop({"the dataplane does not finish its dump"});
  } else {
    turn();
  }
}

void DataplaneClient::ask() {
  auto socket = ask_to_attach(socket_path_, dataplane_user_);
  if (!socket) return drop(socket.error());
  socket_ = std::move(*socket);
  auto watch = loop_.watch(socket_.get(), [this] { on_socket(); });
  if (!watch) return drop(watch.error());
  socket_watch_ = std::move(*watch);
  error_ = "no answer yet, another control plane may be attached";
}

void DataplaneClient::on_socket() {
  if (attachment_) {
    drop({"the dataplane closed its socket"});
  } else {
    take_over();
  }
}

void DataplaneClient::take_over() {
  auto handover = take_handover(socket_);
  if (!handover) return drop(handover.error());
  auto counters = Counters::view(handover->counters);
  if (!counters) return drop(counters.error());
  counters_ = std::move(*counters);
  attachment_ = std::make_unique<Attachment>(std::move(*handover), most_rows_, sink_, seen_);
  auto watch = loop_.watch(attachment_->doorbell(), [this] { turn(); });
  if (!watch) return drop(watch.error());
  doorbell_watch_ = std::move(*watch);
  error_ = "its tables are being read";
  timer_.arm(EventLoop::now_ns() + kDumpNs);
  turn();
}

void DataplaneClient::turn() {
  if (!attachment_) return;
  const bool was_attached = attachment_->attached();
  if (auto turned = attachment_->turn(); !turned) return drop(turned.error());
  if (!attachment_->attached()) return;
  if (!was_attached) {
    error_.clear();
    log_info("attached to the dataplane, boot {:016x}, fence {}", attachment_->reply().boot_id,
             attachment_->reply().fence);
  }
  attachment_->backlog() ? timer_.arm(EventLoop::now_ns() + kFeedNs) : timer_.disarm();
}

bool DataplaneClient::install(Install batch) {
  if (!attachment_ || !attachment_->install(std::move(batch))) return false;
  if (attachment_->backlog()) timer_.arm(EventLoop::now_ns() + kFeedNs);
  return true;
}

bool DataplaneClient::send(const ControlPacket& packet) {
  return attachment_ && attachment_->send(packet);
}

bool DataplaneClient::watch(const WatchMessage& message) {
  if (!attachment_ || !attachment_->watch(message)) return false;
  if (attachment_->backlog()) timer_.arm(EventLoop::now_ns() + kFeedNs);
  return true;
}

void DataplaneClient::drop(const Error& why) {
  const bool was_attached = attachment_ && attachment_->attached();
  doorbell_watch_.reset();
  socket_watch_.reset();
  counters_.reset();
  attachment_.reset();
  socket_ = Descriptor();
  // The same complaint five times a second helps nobody.
  if (was_attached || error_ != why.message) log_warning("dataplane: {}", why.message);
  error_ = why.message;
  timer_.arm(EventLoop::now_ns() + kRetryNs);
  if (was_attached) sink_(Detached{});
}

}  // namespace sky::controlplane
