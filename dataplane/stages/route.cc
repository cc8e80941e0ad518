#include "dataplane/stages/route.h"

#include "dataplane/stages/control.h"
#include "dataplane/stages/hand_over.h"
#include "dataplane/stages/probes.h"
#include "dataplane/stages/punt.h"

namespace sky::dataplane {

namespace {

/// Whether the frame is exactly as long as its packet says, and of a kind that may carry it; a drop if not.
bool fits_kind(Slot& slot, FrameKind kind) noexcept {
  const PacketHeader& packet = packet_header(slot.data);
  const size_t whole = kLinkOverhead + std::max(sizeof(PacketHeader) + packet.size.get(), kMinSealedBytes);
  const bool cut = kind == FrameKind::clear && slot.length > whole;  // nobody vouches for what follows
  if (cut) slot.length = static_cast<uint16_t>(whole);
  if (slot.length != whole) {
    drop(slot, Drop::bad_size);
    return false;
  }
  const bool control = packet.route_id.get() == to_underlying(kControlRoute);
  const bool datagram = packet.type == to_underlying(PacketType::datagram);
  if (kind == FrameKind::frame || (!control && (datagram || kind == FrameKind::clear))) return true;
  drop(slot, Drop::wrong_kind);
  return false;
}

/// The link to leave by: the next hop, or its alternate while that is down.
bool choose_next(Context& context, const Rule& rule, Slot& slot, RouteId& route_id) noexcept {
  const RuleNext hop = next_of(rule);
  LinkIndex next = hop.link;
  route_id = hop.route;
  if (!context.tables.links_up.test(next)) {
    next = hop.alternate_link;
    route_id = back_of(rule).alternate_route;
    if (!context.tables.links_up.test(next)) return false;
  }
  slot.link = context.tables.links.find(to_underlying(next));
  return slot.link != nullptr;
}

/// Whether the circuit keeps to its rate, and the neighbour it came from to its realtime budget.
bool within_rate(Context& context, RouteId id, const Slot& slot) noexcept {
  CircuitRate* rate = context.tables.circuit_rates[context.tables.rules.index_of(id)].load(std::memory_order_acquire);
  const RateLimit& budget = slot.link->config.load(std::memory_order_acquire)->realtime;
  return rate != nullptr && budget.limits() &&
         rate->limit.passes(rate->meters[context.number], context.now_ns, slot.length) &&
         budget.passes(slot.link->workers[context.number].realtime, context.now_ns, slot.length);
}

/// Whether the neighbour keeps to what is taken of it.
bool is_over_rate(Context& context, const Slot& slot) noexcept {
  const LinkConfig& config = *slot.link->config.load(std::memory_order_acquire);
  if (config.put.rate_kbit_s == 0) return false;  // the line that is hot anyway
  if (config.all.passes(slot.link->workers[context.number].all, context.now_ns, slot.length)) return false;
  context.stats_of(*slot.link).over_rate.add(1);
  return true;
}

void forward(Context& context, const FoundRule& found, Slot& slot) noexcept {
  const LinkHeader& header = link_header(slot.data);
  if (header.hop_limit <= 1) return drop(slot, Drop::hop_limit);
  if (class_of(header.class_ecn) != class_of(found.head.treatment)) return drop(slot, Drop::wrong_class);
  slot.treatment = found.head.treatment;
  if (queue_of(slot.treatment) == Queue::realtime && !within_rate(context, found.head.route_id, slot)) {
    slot.treatment = demoted(slot.treatment);
    context.stats_of(*slot.link).demoted.add(1);
  }
  RouteId next_route;
  if (!choose_next(context, *found.rule, slot, next_route)) return drop(slot, Drop::link_down);
  packet_header(slot.data).route_id = Be32(to_underlying(next_route));
  slot.hop_limit = static_cast<uint8_t>(header.hop_limit - 1);
  slot.ecn = ecn_of(header.class_ecn);
  slot.verdict = Verdict::next;
  context.worked = true;
}

void consume(Context& context, const FoundRule& found, Slot& slot) noexcept {
  slot.end = end_of(*found.rule);
  const auto type = static_cast<PacketType>(packet_header(slot.data).type);
  const bool probe = type == PacketType::ping || type == PacketType::pong;  // no matter of streams
  if (!probe && slot.end.worker != context.number) return hand_over(context, slot.end.worker, slot);
  switch (type) {
    case PacketType::datagram:
      slot.verdict = Verdict::egress;
      context.worked = true;
      return;
    case PacketType::ping:
      return answer_ping(context, found, slot);
    case PacketType::pong:
      return take_pong(context, found.head.route_id, slot);
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
    const FrameKind kind = kind_of(link_header(slot.data));
    if (!fits_kind(slot, kind)) continue;
    const RouteId id{packet_header(slot.data).route_id.get()};
    if (id == kControlRoute) {
      slot.link->owner() == context.number ? control(context, slot) : hand_over(context, slot.link->owner(), slot);
      continue;
    }
    if (is_over_rate(context, slot)) {
      drop(slot, Drop::over_rate);
      continue;
    }
    const FoundRule found = context.tables.rules.find(id, slot.link->index, slot.drop);
    if (found.rule == nullptr) continue;  // a drop, and find said why
    if (kind > least_kind_of(found.head.treatment)) {
      drop(slot, Drop::weak_kind);
    } else if (found.head.action == RuleAction::forward) {
      forward(context, found, slot);
    } else {
      consume(context, found, slot);
    }
  }
}

}  // namespace sky::dataplane
