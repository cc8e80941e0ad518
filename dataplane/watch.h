// What a control plane asked to see of packets, as workers find it: one object behind each worker's pointer, immutable
// but for its counts, with a ring from each worker to the main core. It lives only while somebody looks; the main core
// takes it from the workers, waits for their grace, empties the rings and lets it go (agent/watcher.h).
#pragma once

#include <atomic>
#include <memory>
#include <vector>

#include "dataplane/protocol/watch.h"
#include "dataplane/worker_channel.h"

namespace sky::dataplane {

struct Watch {
  static constexpr uint32_t kRing = 256;  ///< records of each worker

  Watch(const WatchMessage& message, size_t workers) : ask(message) {
    for (size_t worker = 0; worker < workers; ++worker) seen.push_back(std::make_unique<LocalRing<SeenPacket>>(kRing));
  }

  const WatchMessage ask;
  std::vector<std::unique_ptr<LocalRing<SeenPacket>>> seen;  ///< [worker]
  std::atomic<uint32_t> packets{0};                          ///< workers: rw; numbered so far
  std::atomic<uint32_t> records{0};                          ///< workers: rw; made so far, those missed among them
  std::atomic<uint64_t> missed{0};                           ///< workers: rw, main core: ro; found no room in a ring
  bool retired = false;                                      ///< main core: no worker sees it any more

  bool whole_packets() const { return (ask.points & kWatchStages) != 0; }
  /// As many as were asked for are made.
  bool complete() const { return (whole_packets() ? packets : records).load(std::memory_order_relaxed) >= ask.count; }
  /// The next packet's number, or 0 when all that were asked for have one. Where only copies are counted they come
  /// again after kMostNumbered packets.
  uint16_t number_packet() noexcept {
    if (whole_packets()) return static_cast<uint16_t>(take(packets, ask.count));
    return static_cast<uint16_t>(packets.fetch_add(1, std::memory_order_relaxed) % kMostNumbered + 1);
  }
  /// Counts one more unless there are `most`: its number from 1 on, or 0.
  static uint32_t take(std::atomic<uint32_t>& counter, uint32_t most) noexcept {
    uint32_t taken = counter.load(std::memory_order_relaxed);
    do {
      if (taken >= most) return 0;
    } while (!counter.compare_exchange_weak(taken, taken + 1, std::memory_order_relaxed));
    return taken + 1;
  }
};

}  // namespace sky::dataplane
