// Datagrams that end here and do not open: a hop or a wire changes what kind `header` leaves open. Counted per circuit;
// a circuit that brings too many is reported, and the control plane closes it. Never a reason to change keys.
#pragma once

#include <cstdint>

#include "dataplane/tables/route_table.h"

namespace sky::dataplane {

inline constexpr uint32_t kMostDamaged = 16;  ///< a second and circuit

/// One worker's. Takes memory only for circuits that bring damage.
class DamageWatch {
 public:
  explicit DamageWatch(uint32_t rules) : seconds_(rules) {}

  /// Counts one for a consume rule; true for the one that is too many, once a second.
  bool add(uint32_t rule, uint64_t now_ns) noexcept {
    Second& second = seconds_[rule];
    const auto now_s = static_cast<uint32_t>(now_ns / 1'000'000'000);
    if (second.which != now_s) second = {now_s, 0};
    return ++second.count == kMostDamaged + 1;
  }

 private:
  struct Second {
    uint32_t which, count;
  };
  ZeroedArray<Second> seconds_;
};

}  // namespace sky::dataplane
