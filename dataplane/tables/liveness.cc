#include "dataplane/tables/liveness.h"

#include <algorithm>

namespace sky::dataplane {

bool Liveness::received(const LivenessPayload& ping, uint64_t now_ns) {
  heard(now_ns);
  peer_hears_ = (ping.flags & 1) != 0;
  good_ = peer_hears_ ? good_ + 1 : 0;
  peer_interval_ns_ = std::clamp<uint64_t>(ping.interval_us.get(), 1'000, 1'000'000) * 1'000;
  peer_sent_ns_ = ping.sent_ns.get();
  peer_sent_at_ns_ = now_ns;
  const uint64_t echoed = ping.echoed_ns.get();
  if (echoed != 0 && echoed <= now_ns) {
    const uint64_t sample = now_ns - echoed;
    rtt_ns_ = rtt_ns_ == 0 ? sample : (rtt_ns_ * 7 + sample) / 8;
  }
  return up_ ? !peer_hears_ : good_ >= kUpAfter;
}

LivenessPayload Liveness::make(const LivenessConfig& config, uint64_t now_ns, uint64_t polled_empty_ns) {
  // A longer interval begins only once the peer was told of it, which counts our silence by what it knows.
  const uint64_t gap_ns = told_interval_ns_ == 0 ? config.interval_ns : std::min(told_interval_ns_, config.interval_ns);
  told_interval_ns_ = config.interval_ns;
  // From the schedule, not from now, so that late turns do not stretch the interval; after a stall, from now.
  next_send_ns_ = std::max(next_send_ns_ + gap_ns, now_ns + gap_ns / 2);
  LivenessPayload ping{};
  ping.flags = heard_ns_ != 0 && !silent(config, polled_empty_ns) ? 1 : 0;
  ping.multiplier = static_cast<uint8_t>(config.multiplier);
  ping.interval_us = Be32(static_cast<uint32_t>(config.interval_ns / 1'000));
  ping.sent_ns = Be64(now_ns);
  ping.echoed_ns = Be64(peer_sent_ns_ == 0 ? 0 : peer_sent_ns_ + (now_ns - peer_sent_at_ns_));
  return ping;
}

void Liveness::judge(const LivenessConfig& config, uint64_t now_ns, uint64_t polled_empty_ns) {
  const bool silent = this->silent(config, polled_empty_ns);
  if (silent) {
    good_ = 0;
    peer_hears_ = false;
  }
  if (up_) {
    if (silent || !peer_hears_) go_down(config, now_ns);
    return;
  }
  if (good_ < kUpAfter || now_ns < hold_until_ns_) return;
  up_ = true;
  up_since_ns_ = now_ns;
}

uint64_t Liveness::next_deadline_ns(const LivenessConfig& config) const {
  if (!up_) return next_send_ns_;
  return std::min(next_send_ns_, heard_ns_ + detection_ns(config));
}

uint64_t Liveness::detection_ns(const LivenessConfig& config) const {
  return std::max(config.interval_ns, peer_interval_ns_) * config.multiplier;
}

void Liveness::go_down(const LivenessConfig& config, uint64_t now_ns) {
  const bool was_stable = now_ns - up_since_ns_ >= kMaxHoldNs;
  hold_ns_ = was_stable || hold_ns_ == 0 ? config.hold_ns : std::min(hold_ns_ * 2, kMaxHoldNs);
  hold_until_ns_ = now_ns + hold_ns_;
  up_ = false;
  good_ = 0;
  next_send_ns_ = now_ns;  // the peer learns at once that it is not heard
}

}  // namespace sky::dataplane
