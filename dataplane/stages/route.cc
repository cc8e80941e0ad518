#include "dataplane/stages/route.h"

#include "dataplane/stages/control.h"
#include "dataplane/stages/hand_over.h"
#include "dataplane/stages/probes.h"
#include "dataplane/stages/punt.h"

namespace sky::dataplane {

namespace {

/// Whether the frame is exactly as long as its packet says, and of a kind that may carry it; a drop if not.
bool fits(Slot& slot, FrameKind kind, const PacketHeader& packet) noexcept {
  const size_t whole = kLinkOverhead + std::max(sizeof(PacketHeader) + packet.size.get(), kMinSealedBytes);
  if (slot.length != whole) [[unlikely]] {
    // Behind a clear packet there may be more: nobody vouches for it.
    if (kind != FrameKind::clear || slot.length < whole) return refuse(slot, Drop::bad_size);
    slot.length = static_cast<uint16_t>(whole);
  }
  if (kind == FrameKind::frame) return true;
  const bool datagram = packet.type == to_underlying(PacketType::datagram);
  if (packet.route_id != Be32(to_underlying(kControlRoute)) && (datagram || kind == FrameKind::clear)) return true;
  return refuse(slot, Drop::wrong_kind);
}

/// The link to leave by: the next hop, or its alternate while that is down.
bool choose_next(Context& context, const RuleFront& rule, RouteId own, Slot& slot, RouteId& route_id) noexcept {
  const RuleNext hop = next_of(rule);
  LinkIndex next = hop.link;
  route_id = hop.route;
  if (!context.tables.links_up.test(next)) [[unlikely]] {
    next = hop.alternate_link;
    route_id = context.tables.rules.view().back(own).alternate_route;
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
         budget.passes(slot.link->lanes[context.number].worker->realtime, context.now_ns, slot.length);
}

/// A realtime packet keeps its queue as far as rates go.
[[gnu::noinline]] void meter_realtime(Context& context, RouteId id, Slot& slot) noexcept {
  if (within_rate(context, id, slot)) return;
  slot.treatment = demoted(slot.treatment);
  context.stats_of(*slot.link).demoted.add(1);
}

/// Whether the neighbour keeps to what is taken of it; a drop if not. That a rate comes or goes the link's admission
/// may know before its configuration, or after.
[[gnu::noinline]] bool within_all(Context& context, Slot& slot) noexcept {
  const LinkConfig& config = *slot.link->config.load(std::memory_order_acquire);
  if (!config.all.limits() ||
      config.all.passes(slot.link->lanes[context.number].worker->all, context.now_ns, slot.length))
    return true;
  context.stats_of(*slot.link).over_rate.add(1);
  return refuse(slot, Drop::over_rate);
}

void forward(Context& context, const RuleFront& rule, RuleHead head, Slot& slot) noexcept {
  const LinkHeader& header = link_header(slot.data);
  const uint8_t hops_left = header.hop_limit, class_ecn = header.class_ecn;
  if (hops_left <= 1) [[unlikely]]
    return drop(slot, Drop::hop_limit);
  if (((class_ecn ^ head.treatment) & kTreatmentClass) != 0) [[unlikely]]
    return drop(slot, Drop::wrong_class);
  slot.treatment = head.treatment;
  if (queue_of(head.treatment) == Queue::realtime) [[unlikely]]
    meter_realtime(context, head.route_id, slot);
  RouteId next_route;
  if (!choose_next(context, rule, head.route_id, slot, next_route)) [[unlikely]]
    return drop(slot, Drop::link_down);
  slot.hop_limit = static_cast<uint8_t>(hops_left - 1);
  slot.ecn = ecn_of(class_ecn);
  slot.verdict = Verdict::next;
  packet_header(slot.data).route_id = Be32(to_underlying(next_route));
  context.worked = true;
}

[[gnu::noinline]] void consume(Context& context, const RuleFront& rule, RuleHead head, Slot& slot) noexcept {
  slot.end = end_of(rule);
  const auto type = static_cast<PacketType>(packet_header(slot.data).type);
  const bool probe = type == PacketType::ping || type == PacketType::pong;  // no matter of streams
  if (!probe && slot.end.worker != context.number) return hand_over(context, slot.end.worker, slot);
  switch (type) {
    case PacketType::datagram:
      slot.verdict = Verdict::egress;
      context.worked = true;
      return;
    case PacketType::ping:
      return answer_ping(context, head, slot);
    case PacketType::pong:
      return take_pong(context, head.route_id, slot);
    case PacketType::handshake:
      return punt_packet(context, SlotKind::route_packet, slot);
    case PacketType::keep_alive:
      slot.verdict = Verdict::consumed;
      return;
    default:
      return drop(slot, Drop::bad_type);
  }
}

[[gnu::noinline]] void take_control(Context& context, Slot& slot) noexcept {
  const unsigned owner = slot.link->owner();
  owner == context.number ? control(context, slot) : hand_over(context, owner, slot);
}

void route_one(Context& context, const RouteView rules, Slot& slot) noexcept {
  const FrameKind kind = kind_of(link_header(slot.data));
  const PacketHeader& packet = packet_header(slot.data);
  const RouteId id{packet.route_id.get()};
  if (!fits(slot, kind, packet)) return;
  if (id == kControlRoute) [[unlikely]]
    return take_control(context, slot);
  const Link& link = *slot.link;
  if (link.admission.load(std::memory_order_relaxed).limited && !within_all(context, slot)) return;
  const RuleFront& rule = rules.at(id);
  const RuleHead head = head_of(rule);
  if (!is_for(head, id, link.index)) [[unlikely]]
    return drop(slot, why_not(head, id));
  if (kind > least_kind_of(head.treatment)) [[unlikely]]
    return drop(slot, Drop::weak_kind);
  head.action == RuleAction::forward ? forward(context, rule, head, slot) : consume(context, rule, head, slot);
}

}  // namespace

void route(Context& context, Batch& batch) noexcept {
  const RouteView rules = context.tables.rules.view();
  // In a loop that does nothing else: as many as the core can wait for are on their way at once, and what waits for a
  // walk through page tables holds up nothing but other prefetches.
  for (const Slot& slot : batch) rules.prefetch(RouteId{packet_header(slot.data).route_id.get()});
  for (Slot& slot : batch) route_one(context, rules, slot);
}

}  // namespace sky::dataplane
