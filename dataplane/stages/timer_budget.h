// How much of a worker its timers may take: a twentieth of its time. Above that share the intervals of liveness and
// probes are stretched, twofold a window, and they shrink again once that would take half the share. What a packet
// costs is the least that was seen in the window, since a turn during which the core was taken away costs nothing of
// the kind. Pure state, one worker's; times are nanoseconds.
#pragma once

#include <algorithm>
#include <cstdint>

namespace sky::dataplane {

class TimerBudget {
 public:
  static constexpr uint64_t kWindowNs = 100'000'000;
  static constexpr uint64_t kParts = 20;  ///< the share is one of so many
  static constexpr uint32_t kMostStretch = 1'024;
  static constexpr uint64_t kLongestNs = 1'000'000'000;  ///< nothing is stretched past it

  /// Timers made `packets` and took `cost_ns` over all of it. Ends the window when its time is over.
  void spent(uint64_t now_ns, unsigned packets, uint64_t cost_ns) noexcept {
    if (packets == 0) return;
    packets_ += packets;
    least_ns_ = std::min(least_ns_, cost_ns / packets);
    const uint64_t window_ns = now_ns - since_ns_;
    if (window_ns < kWindowNs) return;
    const uint32_t before = stretch_;
    if (!settling_) stretch_ = judged(packets_ * least_ns_, window_ns / kParts);
    settling_ = stretch_ != before;
    since_ns_ = now_ns;
    packets_ = 0;
    least_ns_ = UINT64_MAX;
  }
  uint32_t stretch() const { return stretch_; }  ///< 1: intervals as configured
  uint64_t stretched(uint64_t interval_ns) const {
    return std::max(interval_ns, std::min(interval_ns * stretch_, kLongestNs));
  }

 private:
  uint32_t judged(uint64_t cost_ns, uint64_t share_ns) const {
    if (cost_ns > share_ns) return std::min(stretch_ * 2, kMostStretch);
    return cost_ns < share_ns / 4 ? std::max(stretch_ / 2, 1u) : stretch_;
  }

  uint64_t since_ns_ = 0;
  uint64_t packets_ = 0;
  uint64_t least_ns_ = UINT64_MAX;
  uint32_t stretch_ = 1;
  bool settling_ = false;  ///< a window after a change: what was due before it still goes by the old intervals
};

}  // namespace sky::dataplane
