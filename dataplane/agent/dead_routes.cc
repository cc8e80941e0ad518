#include "dataplane/agent/dead_routes.h"

#include <algorithm>
#include <cstring>
#include <span>

#include "dataplane/protocol/frame.h"

namespace sky::dataplane {

namespace {

constexpr uint32_t kRulesPerTurn = 65536;

ControlPacket list_packet(LinkIndex link, std::span<const RouteId> routes) {
  ControlPacket packet;
  packet.kind = SlotKind::link_packet;
  packet.type = static_cast<uint8_t>(PacketType::dead_routes);
  packet.link = link;
  packet.length = static_cast<uint16_t>(routes.size() * sizeof(Be32));
  for (size_t i = 0; i < routes.size(); ++i) {
    const Be32 route(to_underlying(routes[i]));
    std::memcpy(&packet.payload[i * sizeof(Be32)], &route, sizeof(route));
  }
  return packet;
}

}  // namespace

void DeadRoutes::link_down(LinkIndex link) {
  std::erase_if(walks_, [&](const Walk& at) { return at.link == link; });
  walks_.push_back({link, 0});
}

bool DeadRoutes::received(const ControlPacket& packet) {
  const size_t routes = packet.length / sizeof(Be32);
  if (packet.length % sizeof(Be32) != 0 || routes == 0 || routes > kMaxDeadRoutes) return false;
  for (size_t i = 0; i < routes; ++i) {
    Be32 route;
    std::memcpy(&route, &packet.payload[i * sizeof(Be32)], sizeof(route));
    const RouteId id{route.get()};
    if (id != kControlRoute && is_for(head_of(rules_.view().at(id)), id, packet.link))
      died(rules_.at(rules_.index_of(id)));
  }
  return true;
}

bool DeadRoutes::turn() {
  if (!walks_.empty()) {
    walk(walks_.front());
    if (walks_.front().next_index == rules_.capacity()) walks_.pop_front();
  }
  send_lists();
  return !walks_.empty() || !lists_.empty();
}

void DeadRoutes::walk(Walk& at) {
  const uint32_t end = std::min(rules_.capacity(), at.next_index + kRulesPerTurn);
  for (; at.next_index < end; ++at.next_index) {
    const Rule& rule = rules_.at(at.next_index);
    if (rule.action != RuleAction::forward || rule.in_link != at.link) continue;
    if (!leads_on(rule.twin)) died(rule);
  }
}

bool DeadRoutes::leads_on(RouteId route) const {
  const Rule& rule = rules_.at(rules_.index_of(route));
  // Of two parallel links to one neighbour either may be the next one, and the other one the alternate.
  return rule.action == RuleAction::forward && rule.route_id == route &&
         (hooks_.usable(rule.next_link) || hooks_.usable(rule.alternate_link));
}

void DeadRoutes::died(const Rule& rule) {
  if (rule.action == RuleAction::consume) return hooks_.circuit_died(rule.route_id);
  const bool next_up = hooks_.usable(rule.next_link);
  if (!next_up && !hooks_.usable(rule.alternate_link)) return;
  std::vector<RouteId>& list = lists_[next_up ? rule.next_link : rule.alternate_link];
  if (list.size() >= rules_.capacity()) return;  // a neighbour that repeats itself fills nothing
  list.push_back(next_up ? rule.next_route : rule.alternate_route);
}

void DeadRoutes::send_lists() {
  for (auto& [link, routes] : lists_) {
    size_t sent = 0;
    while (sent < routes.size()) {
      const auto some = std::span(routes).subspan(sent, std::min(routes.size() - sent, kMaxDeadRoutes));
      if (!hooks_.send(list_packet(link, some))) break;
      sent += some.size();
    }
    routes.erase(routes.begin(), routes.begin() + static_cast<std::ptrdiff_t>(sent));
  }
  std::erase_if(lists_, [](const auto& list) { return list.second.empty(); });
}

}  // namespace sky::dataplane
