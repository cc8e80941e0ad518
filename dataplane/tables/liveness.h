// Whether a link is alive, judged in the poll loop as BFD's asynchronous mode does (RFC 5880, 6.8): one sealed
// TransportPing per interval and direction that says "I hear you". Pure state, owned by the link's worker; time is a
// parameter, nanoseconds of CLOCK_MONOTONIC.
//
// Down: nothing authentic came for `multiplier` intervals, or the peer says that it does not hear us. A deadline
// counts only once the port was polled empty past it, so that an own stall is not blamed on the peer. Up: three pings
// in a row that say "I hear you", and after a fault a hold that doubles from `hold_ns` to 60 s. Source:
// docs/protocol.md, "Liveness".
#pragma once

#include <algorithm>
#include <cstdint>

#include "dataplane/protocol/frame.h"

namespace sky::dataplane {

struct LivenessConfig {
  uint64_t interval_ns;
  uint64_t hold_ns;
  uint32_t multiplier;
};

class Liveness {
 public:
  /// Any authentic frame counts as hearing; `at_ns` is that of the last one.
  void heard(uint64_t at_ns) { heard_ns_ = std::max(heard_ns_, at_ns); }
  /// True when the state may change by it: judge() should not wait for its next time.
  bool received(const LivenessPayload& ping, uint64_t now_ns);

  bool send_due(uint64_t now_ns) const { return now_ns >= next_send_ns_; }
  /// The ping to send now; schedules the next.
  LivenessPayload make(const LivenessConfig& config, uint64_t now_ns, uint64_t polled_empty_ns);

  /// Goes up or down where it is time to.
  void judge(const LivenessConfig& config, uint64_t now_ns, uint64_t polled_empty_ns);

  /// When the next ping is due or silence would be too long.
  uint64_t next_deadline_ns(const LivenessConfig& config) const;
  bool up() const { return up_; }
  bool peer_hears() const { return peer_hears_; }
  uint64_t rtt_ns() const { return rtt_ns_; }
  uint64_t heard_ns() const { return heard_ns_; }

 private:
  static constexpr unsigned kUpAfter = 3;
  static constexpr uint64_t kMaxHoldNs = 60'000'000'000;

  uint64_t detection_ns(const LivenessConfig& config) const;
  /// Nothing came, and not for want of looking.
  bool silent(const LivenessConfig& config, uint64_t polled_empty_ns) const {
    return heard_ns_ + detection_ns(config) <= polled_empty_ns;
  }
  void go_down(const LivenessConfig& config, uint64_t now_ns);

  bool up_ = false;
  bool peer_hears_ = false;
  uint32_t good_ = 0;  ///< pings in a row that said "I hear you"
  uint64_t heard_ns_ = 0;
  uint64_t next_send_ns_ = 0;
  uint64_t told_interval_ns_ = 0;  ///< in our last ping
  uint64_t peer_interval_ns_ = 0;
  uint64_t peer_sent_ns_ = 0;     ///< the peer's clock in its last ping
  uint64_t peer_sent_at_ns_ = 0;  ///< ours when it came
  uint64_t rtt_ns_ = 0;
  uint64_t hold_ns_ = 0;  ///< of the last fault
  uint64_t hold_until_ns_ = 0;
  uint64_t up_since_ns_ = 0;
};

}  // namespace sky::dataplane
