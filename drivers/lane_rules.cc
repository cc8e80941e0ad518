#include "drivers/lane_rules.h"

#include <rte_flow.h>

#include <bit>

namespace sky::drivers {
namespace {

Result<> install(uint16_t port_id, const LaneRule& rule) {
  rte_flow_item_eth wanted{};
  rte_flow_item_eth mask{};
  wanted.src.addr_bytes[RTE_ETHER_ADDR_LEN - 1] = rule.value;
  mask.src.addr_bytes[RTE_ETHER_ADDR_LEN - 1] = rule.mask;
  const rte_flow_item pattern[] = {
      {.type = RTE_FLOW_ITEM_TYPE_ETH, .spec = &wanted, .last = nullptr, .mask = &mask},
      {.type = RTE_FLOW_ITEM_TYPE_END, .spec = nullptr, .last = nullptr, .mask = nullptr},
  };
  const rte_flow_action_queue queue{.index = rule.queue};
  const rte_flow_action actions[] = {
      {.type = RTE_FLOW_ACTION_TYPE_QUEUE, .conf = &queue},
      {.type = RTE_FLOW_ACTION_TYPE_END, .conf = nullptr},
  };
  rte_flow_attr attributes{};
  attributes.ingress = 1;
  rte_flow_error error{};
  if (rte_flow_create(port_id, &attributes, pattern, actions, &error) != nullptr) return {};
  return fail(
      "lanes by MAC: the NIC takes no rule on the last byte of the source MAC address ({}); use one worker for it",
      error.message != nullptr ? error.message : "no reason given");
}

}  // namespace

std::vector<LaneRule> lane_rules(uint16_t queues) {
  const uint8_t mask = std::has_single_bit(queues) && queues <= 256 ? static_cast<uint8_t>(queues - 1) : 0xff;
  std::vector<LaneRule> rules;
  for (unsigned value = 0; value <= mask; ++value) {
    rules.push_back({static_cast<uint8_t>(value), mask, static_cast<uint16_t>(value % queues)});
  }
  return rules;
}

Result<> steer_lanes(uint16_t port_id, uint16_t queues) {
  for (const LaneRule& rule : lane_rules(queues)) {
    if (auto done = install(port_id, rule); !done) return done;
  }
  return {};
}

}  // namespace sky::drivers
