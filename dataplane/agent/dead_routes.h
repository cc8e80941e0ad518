// Tells neighbours which circuits died behind this node, and passes on what they tell (docs/protocol.md, "Dead
// routes"). Main core only. A lost link is walked through the route table in steps, so that a turn stays short; lists
// leave in packets of at most kMaxDeadRoutes, and wait here where the worker's ring is full.
//
// A rule bound to the lost link belongs to a circuit whose opposite direction now leads nowhere, unless its twin has a
// next link or an alternate that is up. The neighbour on the circuit's other side hears the route ID that it allocated
// itself, looks it up in its own table, and so on to the ingress, which marks the member dead.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <set>
#include <vector>

#include "dataplane/protocol/control_packet.h"
#include "dataplane/tables/route_table.h"

namespace sky::dataplane {

class DeadRoutes {
 public:
  struct Hooks {
    std::function<bool(LinkIndex)> usable;              ///< the link is up
    std::function<bool(const ControlPacket&)> send;     ///< false: no room, comes again next turn
    std::function<void(RouteId consume)> circuit_died;  ///< one that this node is the ingress of
  };

  DeadRoutes(const RouteTable& rules, Hooks hooks) : rules_(rules), hooks_(std::move(hooks)) {}

  void link_down(LinkIndex link);
  /// A neighbour's list; false when it is malformed.
  bool received(const ControlPacket& packet);
  /// Some of the work that waits; true when more is left.
  bool turn();

 private:
  struct Walk {
    LinkIndex link;
    uint32_t next_index;
  };

  void walk(Walk& at);
  /// A forward rule of this ID has a link to go out by.
  bool leads_on(RouteId route) const;
  /// The circuit of this rule died in the direction opposite to it.
  void died(const Rule& rule);
  void send_lists();

  const RouteTable& rules_;
  Hooks hooks_;
  std::deque<Walk> walks_;
  std::map<LinkIndex, std::vector<RouteId>> lists_;  ///< neighbour's route IDs, by the link that leads to it
};

}  // namespace sky::dataplane
