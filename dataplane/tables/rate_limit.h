// How much of something a worker lets pass: a rate and a meter (rte_meter, RFC 2697 with one colour above green). The
// rate is shared by all workers that meter the same traffic, each has its own bucket and its share of the rate: what
// comes over several lanes is not added up between cores.
#pragma once

#include <rte_cycles.h>
#include <rte_meter.h>

#include <algorithm>
#include <cstdint>
#include <vector>

namespace sky::dataplane {

/// rte_meter counts the processor's clock, workers nanoseconds of CLOCK_MONOTONIC.
inline uint64_t meter_time(uint64_t now_ns) noexcept {
  return static_cast<uint64_t>(static_cast<double>(now_ns) * (static_cast<double>(rte_get_tsc_hz()) / 1e9));
}

class RateLimit {
 public:
  /// 0 kbit/s: no limit.
  RateLimit(uint32_t kbit_s, unsigned workers) : kbit_s_(kbit_s) {
    if (kbit_s == 0) return;
    const uint64_t bytes_s = std::max<uint64_t>(uint64_t{kbit_s} * 125 / workers, 1);
    rte_meter_srtcm_params wanted{.cir = bytes_s, .cbs = std::max(bytes_s / kBurstShare, kLeastBurst), .ebs = 0};
    rte_meter_srtcm_profile_config(&profile_, &wanted);
  }

  uint32_t kbit_s() const { return kbit_s_; }
  bool limits() const { return kbit_s_ != 0; }
  /// Whether so many bytes pass now; they are then taken from the bucket. An empty meter starts with a full one.
  bool passes(rte_meter_srtcm& meter, uint64_t now_ns, uint32_t bytes) const noexcept {
    return rte_meter_srtcm_color_blind_check(&meter, const_cast<rte_meter_srtcm_profile*>(&profile_),
                                             meter_time(now_ns), bytes) == RTE_COLOR_GREEN;
  }

 private:
  static constexpr uint64_t kBurstShare = 100;     // of a second's bytes
  static constexpr uint64_t kLeastBurst = 16'384;  // a jumbo frame, and more

  uint32_t kbit_s_;
  rte_meter_srtcm_profile profile_{};
};

/// A rate that belongs to one circuit and direction.
struct CircuitRate {
  CircuitRate(uint32_t kbit_s, unsigned shares, unsigned workers) : limit(kbit_s, shares), meters(workers) {}

  RateLimit limit;
  std::vector<rte_meter_srtcm> meters;  ///< [worker]: rw by that one
};

}  // namespace sky::dataplane
