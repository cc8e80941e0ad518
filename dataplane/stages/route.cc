#include "dataplane/stages/route.h"

#include "dataplane/stages/control.h"
#include "dataplane/stages/probes.h"
#include "dataplane/stages/punt.h"

namespace sky::dataplane {

namespace {

/// The link to leave by: the next hop, or its alternate while that is down.
bool choose_next(Context& context, const Rule& rule, Slot& slot, RouteId& route_id) noexcept {
  const auto& links = context.tables.links;
  Link* next = links.find(to_underlying(rule.next_link));
  route_id = rule.next_route;
  if (next == nullptr || !next->usable()) {
    next = links.find(to_underlying(rule.alternate_link));
    route_id = rule.alternate_route;
  }
  if (next == nullptr || !next->usable()) return false;
  slot.link = next;
  return true;
}

void forward(Context& context, const Rule& rule, Slot& slot) noexcept {
  const LinkHeader& header = link_header(slot.data);
  if (header.hop_limit <= 1) return drop(slot, Drop::hop_limit);
  if (class_of(header.class_ecn) != class_of(rule.queue_class)) return drop(slot, Drop::wrong_class);
  RouteId next_route;
  if (!choose_next(context, rule, slot, next_route)) return drop(slot, Drop::link_down);
  packet_header(slot.data).route_id = Be32(to_underlying(next_route));
  slot.hop_limit = static_cast<uint8_t>(header.hop_limit - 1);
  slot.queue_class = rule.queue_class;
  slot.verdict = Verdict::next;
  context.worked = true;
}

void consume(Context& context, const Rule& rule, Slot& slot) noexcept {
  slot.end = {rule.session, rule.stream, rule.streams};
  switch (static_cast<PacketType>(packet_header(slot.data).type)) {
    case PacketType::datagram:
      slot.verdict = Verdict::egress;
      context.worked = true;
      return;
    case PacketType::ping:
      return answer_ping(context, rule, slot);
    case PacketType::pong:
      return take_pong(context, rule, slot);
    case PacketType::handshake:
      return punt_packet(context, SlotKind::route_packet, slot);
    case PacketType::keep_alive:
      slot.verdict = Verdict::consumed;
      return;
    default:
      return drop(slot, Drop::bad_type);
  }
}

}  // namespace

void route(Context& context, Batch& batch) noexcept {
  for (const Slot& slot : batch) context.tables.rules.prefetch(RouteId{packet_header(slot.data).route_id.get()});
  for (Slot& slot : batch) {
    const PacketHeader& packet = packet_header(slot.data);
    const size_t inside = std::max(sizeof(PacketHeader) + packet.size.get(), kMinSealedBytes);
    if (slot.length != kLinkOverhead + inside) {
      drop(slot, Drop::bad_size);
      continue;
    }
    const RouteId id{packet.route_id.get()};
    if (id == kControlRoute) {
      control(context, slot);
      continue;
    }
    Rule rule;
    if (!context.tables.rules.find(id, slot.link->index, rule, slot.drop)) continue;  // a drop, and find said why
    if (rule.action == RuleAction::forward) {
      forward(context, rule, slot);
    } else {
      consume(context, rule, slot);
    }
  }
}

}  // namespace sky::dataplane
