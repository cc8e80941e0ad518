// Steering by lane in a NIC: rte_flow rules that bring a frame whose source MAC address ends in byte L to queue
// L % queues. Which rules a NIC takes is its own affair; one that refuses is said so with its reason.
#pragma once

#include <cstdint>
#include <vector>

#include "dataplane/base/result.h"

namespace sky::drivers {

struct LaneRule {
  uint8_t value;  ///< of the last byte of the source MAC address
  uint8_t mask;
  uint16_t queue;
  bool operator==(const LaneRule&) const = default;
};

/// As few rules as give every last byte its queue: `queues` for a power of two, else 256.
std::vector<LaneRule> lane_rules(uint16_t queues);
/// On a started port.
Result<> steer_lanes(uint16_t port_id, uint16_t queues);

}  // namespace sky::drivers
