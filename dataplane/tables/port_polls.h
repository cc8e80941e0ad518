// When each port's queues were last seen empty: silence is judged only where nobody has frames waiting.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <vector>

#include "dataplane/base/ids.h"

namespace sky::dataplane {

/// Which worker polls which port: one of them its only queue, or each a queue of its own.
struct PortPolling {
  unsigned worker = 0;       ///< owns the port's links, and polls it where it has one queue
  bool by_lane = false;      ///< one queue per worker, which the peer's lane chooses
  bool lane_in_mac = false;  ///< what is sent carries the lane in the last byte of its source MAC address
};

class PortPolls {
 public:
  PortPolls(std::vector<PortPolling> ports, unsigned workers)
      : ports_(std::move(ports)), workers_(workers), emptied_ns_(ports_.size() * workers) {}

  const PortPolling& of(PortIndex port) const { return ports_[to_underlying(port)]; }
  /// The worker that gets handshake frames of this sender: they carry its own address, whatever lane sends them. The
  /// first for a port that is not there.
  unsigned hears(PortIndex port, const MacAddress& from) const {
    if (to_underlying(port) >= ports_.size()) return 0;
    return of(port).by_lane ? from.back() % workers_ : of(port).worker;
  }
  bool polls(PortIndex port, unsigned worker) const { return of(port).by_lane || of(port).worker == worker; }

  /// Worker: a poll at `now_ns` took all that waited, or kAsleep: a frame will wake it.
  void emptied(PortIndex port, unsigned worker, uint64_t now_ns) noexcept {
    at(port, worker).store(now_ns, std::memory_order_relaxed);
  }
  static constexpr uint64_t kAsleep = UINT64_MAX;
  /// Everything that had come by then was taken, at most `now_ns`.
  uint64_t emptied_ns(PortIndex port, uint64_t now_ns) const noexcept {
    if (!of(port).by_lane) return std::min(now_ns, at(port, of(port).worker).load(std::memory_order_relaxed));
    uint64_t oldest = now_ns;
    for (unsigned worker = 0; worker < workers_; ++worker)
      oldest = std::min(oldest, at(port, worker).load(std::memory_order_relaxed));
    return oldest;
  }

 private:
  std::atomic<uint64_t>& at(PortIndex port, unsigned worker) { return emptied_ns_[index(port, worker)]; }
  const std::atomic<uint64_t>& at(PortIndex port, unsigned worker) const { return emptied_ns_[index(port, worker)]; }
  size_t index(PortIndex port, unsigned worker) const { return size_t{to_underlying(port)} * workers_ + worker; }

  std::vector<PortPolling> ports_;
  unsigned workers_;
  std::vector<std::atomic<uint64_t>> emptied_ns_;  ///< [port][worker]: rw by that worker, others: ro
};

}  // namespace sky::dataplane
