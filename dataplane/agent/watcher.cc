#include "dataplane/agent/watcher.h"

namespace sky::dataplane {
namespace {

constexpr unsigned kRecordsPerTurn = kSeenSlots;  ///< of each worker

}  // namespace

void Watcher::ask(const WatchMessage& message, InstallError error) {
  if (error != InstallError::none) {
    refused_ = SeenPacket{.request = message.request, .last = 1, .error = error};
    return;
  }
  end();
  next_.reset();
  if (message.count != 0) next_ = message;
}

void Watcher::stop() {
  end();
  orphan_ = watch_ != nullptr;
  next_.reset();
  refused_.reset();
}

void Watcher::begin(const WatchMessage& message) {
  watch_ = std::make_shared<Watch>(message, channels_.size());
  ending_ = false;
  for (WorkerChannel* channel : channels_) channel->watch.store(watch_.get(), std::memory_order_release);
}

void Watcher::end() {
  if (!watch_ || std::exchange(ending_, true)) return;
  for (WorkerChannel* channel : channels_) channel->watch.store(nullptr, std::memory_order_release);
  retire_([watch = watch_] { watch->retired = true; });
}

/// Record by record as there is room.
bool Watcher::move(ShmProducer<SeenPacket>* up) {
  bool pushed = false;
  blocked_ = false;
  for (const auto& ring : watch_->seen) {
    SeenPacket record;
    for (unsigned left = kRecordsPerTurn; left > 0; --left) {
      if (ring->consumer.available() == 0) break;
      blocked_ = up != nullptr && up->free_slots() == 0;
      if (blocked_ || !ring->consumer.pop(record)) break;
      record.missed = watch_->missed.load(std::memory_order_relaxed);
      pushed |= up != nullptr && up->push(record);
      blocked_ = left == 1;
    }
    if (blocked_) break;
  }
  return pushed;
}

bool Watcher::tell_end(ShmProducer<SeenPacket>* up) {
  return up == nullptr ||
         up->push(
             {.request = watch_->ask.request, .missed = watch_->missed.load(std::memory_order_relaxed), .last = 1});
}

bool Watcher::turn(ShmProducer<SeenPacket>* up) {
  bool pushed = false;
  if (refused_ && (up == nullptr || up->push(*refused_))) {
    refused_.reset();
    pushed = true;
  }
  if (watch_) {
    if (watch_->complete()) end();
    const bool over = ending_ && watch_->retired;  // before the look into the rings
    ShmProducer<SeenPacket>* const to = orphan_ ? nullptr : up;
    pushed |= move(to);
    if (over && !blocked_ && tell_end(to)) {
      watch_.reset();
      ending_ = orphan_ = false;
      pushed = true;
    }
  }
  if (!watch_ && next_) {
    begin(*next_);
    next_.reset();
  }
  return pushed;
}

}  // namespace sky::dataplane
