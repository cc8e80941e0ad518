// Ration: at most `per_second` takings in the long run and `burst` at once; one word of state (the generic cell rate
// algorithm). Time is a parameter, monotonic; per_second and burst are at least 1.
#pragma once

#include <algorithm>
#include <cstdint>

namespace sky {

struct Rate {
  uint32_t per_second;
  uint32_t burst;
};

class Ration {
 public:
  explicit Ration(Rate rate) : period_ns_(1'000'000'000 / rate.per_second), slack_ns_(period_ns_ * (rate.burst - 1)) {}

  [[nodiscard]] bool take(uint64_t now_ns) {
    const uint64_t start_ns = std::max(next_ns_, now_ns);
    if (start_ns - now_ns > slack_ns_) return false;
    next_ns_ = start_ns + period_ns_;
    return true;
  }

 private:
  uint64_t period_ns_;
  uint64_t slack_ns_;
  uint64_t next_ns_ = 0;
};

}  // namespace sky
