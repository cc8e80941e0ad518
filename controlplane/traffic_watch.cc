#include "controlplane/traffic_watch.h"

#include <algorithm>
#include <utility>

#include "dataplane/base/units.h"

namespace sky::controlplane {

uint64_t TrafficWatch::period_ns(uint64_t idle_ns) {
  return std::clamp(idle_ns / 10, 100 * kMillisecondNs, 10 * kSecondNs);
}

std::vector<TrafficSeen> TrafficWatch::look(const Counters& counters) {
  const auto& members = counters.members();
  const uint64_t boot_id = counters.header().boot_id;
  const bool first = boot_id != std::exchange(boot_id_, boot_id) || packets_.size() != members.size();
  packets_.resize(members.size());
  std::vector<TrafficSeen> seen;
  for (size_t i = 0; i < members.size(); ++i) {
    const uint64_t packets = members[i](&MemberStats::packets);
    if (std::exchange(packets_[i], packets) == packets || first) continue;
    seen.push_back({.group = GroupIndex(i / kMaxMembers),
                    .slot = static_cast<uint8_t>(i % kMaxMembers),
                    .rtt_us = static_cast<uint32_t>(members[i](&MemberStats::rtt_ns) / kMicrosecondNs)});
  }
  return seen;
}

}  // namespace sky::controlplane
