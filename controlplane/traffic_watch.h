// Which circuits carried traffic since the last look, by the members' packet counters. The first look after an
// attachment only learns where the counters stand.
#pragma once

#include <cstdint>
#include <vector>

#include "controlplane/core/events.h"
#include "controlplane/install/counters.h"

namespace sky::controlplane {

class TrafficWatch {
 public:
  /// Between two looks: often enough that an idle time is kept to a tenth.
  static uint64_t period_ns(uint64_t idle_ns);

  std::vector<TrafficSeen> look(const Counters& counters);

 private:
  uint64_t boot_id_ = 0;
  std::vector<uint64_t> packets_;  ///< by group * kMaxMembers + slot
};

}  // namespace sky::controlplane
