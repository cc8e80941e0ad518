#include "controlplane/core/circuits.h"

#include <algorithm>
#include <ranges>

namespace sky::controlplane {
namespace {

std::vector<uint32_t> budgets(const Network& network) {
  std::vector<uint32_t> all;
  for (const OwnLink& link : network.links()) all.push_back(link.realtime_kbit_s);
  return all;
}

}  // namespace

Circuits::Circuits(Context& context, Links& links, Sessions& sessions)
    : context_(context),
      links_(links),
      sessions_(sessions),
      admission_(budgets(context.network), AdmissionLimits::of(context.config.dataplane.sizes.rules)) {}

const Circuit* Circuits::find(const CircuitId& id) const {
  const auto found = circuits_.find(id);
  return found == circuits_.end() ? nullptr : &found->second;
}

const Circuit* Circuits::find(RouteId consume) const {
  const auto found = ends_by_route_.find(to_underlying(consume));
  return found == ends_by_route_.end() ? nullptr : find(found->second);
}

std::string Circuits::describe(const Circuit& circuit) const {
  if (circuit.path.empty()) return fmt::format("circuit {}", circuit_text(circuit.id));
  return fmt::format("circuit {} ({})", circuit_text(circuit.id),
                     fmt::join(context_.network.node_names(circuit.path), " "));
}

uint16_t Circuits::link_mtu(LinkIndex link) const {
  return static_cast<uint16_t>(std::max<size_t>(links_.mtu(link) - kDatagramOverhead, kLeastMtu));
}

uint16_t Circuits::leg_mtu(const Leg& leg) const {
  const uint16_t mtu = link_mtu(leg.link);
  return leg.has_alternate() ? std::min(mtu, link_mtu(leg.alternate.link)) : mtu;
}

std::optional<Way> Circuits::usable_way(const Leg& leg) const {
  if (links_.usable(leg.link)) return leg;
  if (leg.protects() && links_.usable(leg.alternate.link)) return leg.alternate;
  return std::nullopt;
}

void Circuits::say(const Leg& leg, const Signal& signal) {
  say(leg.has_alternate() && !links_.usable(leg.link) ? leg.alternate.link : leg.link, signal);
}

void Circuits::say(LinkIndex link, const Signal& signal) {
  if (links_.usable(link)) context_.out.send_on_link(link, PacketType::signal, encode_signal(signal));
}

Circuit& Circuits::insert(Circuit circuit) {
  const CircuitId id = circuit.id;
  if (circuit.is_end()) {
    for (const Way& way : circuit.leg().ways()) ends_by_route_.emplace(to_underlying(way.mine), id);
    by_peer_.emplace(circuit.peer, id);
  }
  return circuits_.emplace(id, std::move(circuit)).first->second;
}

void Circuits::adopt(Circuit circuit) {
  circuit.made_ns = circuit.refreshed_ns = context_.now;
  circuit.life_s = static_cast<uint32_t>(context_.config.circuits.life_ns / kSecondNs);
  circuit.expires_ns = context_.now + context_.config.circuits.life_ns;
  admission_.add(circuit.role == CircuitRole::ingress ? kNoLink : circuit.up.link);
  for (const LinkIndex link : {circuit.up.link, circuit.down.link}) admission_.add_rate(link, circuit.rate_kbit_s);
  if (circuit.role == CircuitRole::ingress && !circuit.path.empty()) {
    const uint64_t refresh = context_.config.circuits.refresh_ns;
    circuit.asking.at = context_.now + refresh / 2 + context_.random.number<uint64_t>() % (refresh / 2);
  }
  Circuit& adopted = insert(std::move(circuit));
  put_rules(adopted);
  schedule(adopted);
}

void Circuits::put_rules(Circuit& circuit) {
  circuit.ruled = true;
  Circuit::End end;
  if (circuit.is_end()) {
    end = {.session = sessions_.index_of(circuit.peer),
           .streams = static_cast<uint8_t>(sessions_.peer_lanes(circuit.peer)),
           .worker = links_.worker(circuit.leg().link)};
    if (circuit.role == CircuitRole::egress && circuit.copied.window != 0)
      end.worker = sessions_.copied_worker(circuit.peer, circuit.copied);
  }
  for (const RuleMessage& rule : circuit.rules(end)) {
    context_.planner.put(rule);
  }
}

/// A route ID of this circuit is not used any more.
void Circuits::let_go(const Circuit& circuit, RouteId mine) {
  if (circuit.is_end()) ends_by_route_.erase(to_underlying(mine));
  if (context_.planner.knows(rule_key(mine))) {
    context_.planner.erase(rule_key(mine));
  } else {
    context_.routes.release(mine, context_.now);
  }
}

void Circuits::add_alternate(Leg& leg, std::optional<LinkIndex> parallel) {
  const auto route = parallel ? context_.routes.allocate(context_.now) : std::nullopt;
  if (route) leg.alternate = {.link = *parallel, .mine = *route};
}

void Circuits::drop_alternate(const Circuit& circuit, Leg& leg) {
  if (leg.has_alternate()) let_go(circuit, leg.alternate.mine);
  leg.alternate = {};
}

AlternateWay Circuits::offered(const Leg& leg) const {
  if (!leg.has_alternate()) return {};
  return {.link = context_.network.link(leg.alternate.link).id, .route = leg.alternate.mine};
}

void Circuits::remove(CircuitId id) {
  Circuit* circuit = get(id);
  if (circuit == nullptr) return;
  for (Leg* leg : {&circuit->up, &circuit->down}) {
    drop_alternate(*circuit, *leg);
    if (leg->mine != kControlRoute) let_go(*circuit, leg->mine);
  }
  if (circuit->is_end()) {
    if (circuit->group) ends_->leave(*circuit);
    const auto [first, last] = by_peer_.equal_range(circuit->peer);
    const auto mine = std::find_if(first, last, [&](const auto& each) { return each.second == id; });
    if (mine != last) by_peer_.erase(mine);
    if (circuit->copied.window != 0) sessions_.free_copied(circuit->peer, circuit->copied);
    if (circuit->copied_asked.window != 0 && circuit->copied_asked != circuit->copied)
      sessions_.free_copied(circuit->peer, circuit->copied_asked);
    sessions_.free_streams(circuit->peer, circuit->send_stream, circuit->receive_stream);
    sessions_.release(circuit->peer);
  }
  for (const LinkIndex link : {circuit->up.link, circuit->down.link}) admission_.free_rate(link, circuit->rate_kbit_s);
  admission_.remove(circuit->role == CircuitRole::ingress ? kNoLink : circuit->up.link);
  deadlines_.erase(id);
  circuits_.erase(id);
}

void Circuits::on_signal(LinkIndex from, ByteView payload) {
  if (!context_.network.has_link(from) || !admission_.take_signal(from, context_.now)) return;
  auto signal = decode_signal(payload);
  if (!signal) {
    context_.log(LogLevel::warning, "link {}: {} sent nonsense: {}", context_.network.link(from).name,
                 context_.network.link(from).peer_name, signal.error().message);
    return;
  }
  std::visit([&](auto& message) { on_message(from, message); }, *signal);
}

void Circuits::on_message(LinkIndex from, const SetupReply& reply) {
  Circuit* circuit = get(reply.circuit);
  if (circuit == nullptr || circuit->role == CircuitRole::egress || !circuit->down.goes_by(from)) return;
  if (reply.hop != circuit->hop + 1) return;
  if (circuit->role == CircuitRole::ingress) return on_ingress_reply(*circuit, reply);
  if (!circuit->reply_due) return;
  circuit->down.theirs = reply.forward_route;
  circuit->down.alternate.theirs = reply.alternate_route;
  circuit->mtu = std::min(circuit->mtu, reply.mtu);
  circuit->copied.window = reply.copy_window;
  circuit->blob = reply.blob;
  if (circuit->state == CircuitState::asking) circuit->state = CircuitState::installing;
  put_rules(*circuit);
  context_.planner.notify(CircuitInstalled{circuit->id});
}

void Circuits::on_message(LinkIndex from, const SetupRefused& refused) {
  Circuit* circuit = get(refused.circuit);
  if (circuit == nullptr || circuit->role == CircuitRole::egress || !circuit->down.goes_by(from)) return;
  if (circuit->role == CircuitRole::ingress) return on_ingress_refused(*circuit, refused);
  if (!circuit->reply_due) return;
  circuit->reply_due = false;
  say(circuit->up, refused);
  if (circuit->state != CircuitState::up) remove(refused.circuit);
}

void Circuits::on_message(LinkIndex from, const Close& close) {
  Circuit* circuit = get(close.circuit);
  if (circuit == nullptr) return;
  const Leg& came = close.towards == Towards::egress ? circuit->up : circuit->down;
  if (!came.goes_by(from)) return;
  const Leg& onward = close.towards == Towards::egress ? circuit->down : circuit->up;
  if (onward.link != kNoLink) say(onward, close);
  if (circuit->is_end()) {
    context_.log(LogLevel::info, "{} closed by the other side: {}", describe(*circuit), name_of(close.reason));
    ends_->failed(*circuit, close.reason);
  }
  remove(close.circuit);
}

void Circuits::on_message(LinkIndex from, const Trace& trace) {
  Circuit* circuit = get(trace.circuit);
  if (circuit == nullptr || circuit->state != CircuitState::up) return;
  const bool down = trace.towards == Towards::egress;
  const Leg& came = down ? circuit->up : circuit->down;
  if (!came.goes_by(from)) return;
  say(from, TraceReply{.towards = trace.towards,
                       .hop = trace.hop,
                       .circuit = trace.circuit,
                       .probe = trace.probe,
                       .address = context_.network.address()});
  const Leg& onward = down ? circuit->down : circuit->up;
  const int next = trace.hop + (down ? 1 : -1);
  if (onward.link == kNoLink || next < 0 || next >= static_cast<int>(kMostPathNodes)) return;
  Trace passed = trace;
  passed.hop = static_cast<uint8_t>(next);
  say(onward, passed);
}

void Circuits::on_message(LinkIndex from, const TraceReply& reply) {
  const Circuit* circuit = find(reply.circuit);
  if (circuit == nullptr) return;
  const bool down = reply.towards == Towards::egress;
  if (!(down ? circuit->down : circuit->up).goes_by(from)) return;
  const Leg& back = down ? circuit->up : circuit->down;
  if (back.link != kNoLink) {
    say(back, reply);
  } else {
    ends_->traced(*circuit, reply);
  }
}

void Circuits::trace(const Circuit& circuit, uint32_t probe) {
  const Towards towards = circuit.role == CircuitRole::ingress ? Towards::egress : Towards::ingress;
  const int next = circuit.hop + (towards == Towards::egress ? 1 : -1);
  if (next < 0) return;
  say(circuit.leg(),
      Trace{.towards = towards, .hop = static_cast<uint8_t>(next), .circuit = circuit.id, .probe = probe});
}

void Circuits::installed(const CircuitId& id) {
  Circuit* circuit = get(id);
  if (circuit == nullptr || circuit->state == CircuitState::asking) return;
  const bool first = circuit->state != CircuitState::up;
  circuit->state = CircuitState::up;
  circuit->refreshed_ns = context_.now;
  circuit->expires_ns = context_.now + uint64_t{circuit->life_s} * kSecondNs;
  if (circuit->role == CircuitRole::ingress) {
    if (first) context_.log(LogLevel::info, "{} is set up", describe(*circuit));
    sessions_.on_circuit(circuit->peer);
    ends_->is_up(*circuit);
  } else if (circuit->reply_due) {
    answer(*circuit);
  }
  schedule(*circuit);
}

void Circuits::refused(const CircuitId& id, InstallError error) {
  Circuit* circuit = get(id);
  if (circuit == nullptr) return;
  context_.log(LogLevel::error, "{}: the dataplane refuses it: {}", describe(*circuit), name_of(error));
  fail(*circuit, CircuitReason::full);
}

void Circuits::on_damaged(RouteId consume) {
  const Circuit* found = find(consume);
  if (found == nullptr) return;
  Circuit& circuit = *get(found->id);
  context_.log(LogLevel::warning, "{} brings packets that were changed on their way: closed", describe(circuit));
  fail(circuit, CircuitReason::damaged);
}

void Circuits::fail(Circuit& circuit, CircuitReason reason) {
  if (circuit.is_end()) ends_->failed(circuit, reason);
  end(circuit, reason);
}

void Circuits::end(Circuit& circuit, CircuitReason reason) {
  for (const auto& [leg, towards] :
       {std::pair(circuit.up, Towards::ingress), std::pair(circuit.down, Towards::egress)}) {
    if (leg.link != kNoLink) say(leg, Close{.reason = reason, .towards = towards, .circuit = circuit.id});
  }
  remove(circuit.id);
}

void Circuits::close(const CircuitId& id, CircuitReason reason) {
  Circuit* circuit = get(id);
  if (circuit == nullptr) return;
  context_.log(LogLevel::info, "{} closed: {}", describe(*circuit), name_of(reason));
  end(*circuit, reason);
}

bool Circuits::send_over(const Circuit& circuit, PacketType type, ByteView payload) {
  const auto way = usable_way(circuit.leg());
  if (circuit.state != CircuitState::up || !way) return false;
  ControlPacket packet{.kind = SlotKind::route_packet,
                       .type = to_underlying(type),
                       .link = way->link,
                       .route = way->theirs,
                       .hop_limit = circuit.hop_limit,
                       .treatment = circuit.treatment};
  set_payload(packet, payload);
  context_.out.send(packet);
  return true;
}

bool Circuits::send_to(const Ipv6Address& peer, ByteView handshake) {
  const auto [first, last] = by_peer_.equal_range(peer);
  for (const bool live : {true, false}) {
    for (auto at = first; at != last; ++at) {
      const Circuit* circuit = find(at->second);
      if (circuit->live == live && send_over(*circuit, PacketType::handshake, handshake)) return true;
    }
  }
  return false;
}

void Circuits::schedule(const Circuit& circuit) {
  TimeNs next = circuit.expires_ns;
  if (circuit.role == CircuitRole::ingress) {
    next = std::min({next, circuit.asking.at, circuit.asking.now ? kNever : circuit.asking.repair_at});
  }
  deadlines_.set(circuit.id, next);
}

void Circuits::tick() {
  for (const CircuitId& id : deadlines_.take_due(context_.now)) {
    Circuit* circuit = get(id);
    if (circuit == nullptr) continue;
    if (circuit->expires_ns <= context_.now) {
      if (circuit->is_end()) context_.log(LogLevel::info, "{} expired", describe(*circuit));
      fail(*circuit, CircuitReason::expired);
    } else {
      tick_ingress(*circuit);
    }
  }
}

std::vector<CircuitSnapshot> Circuits::snapshot() const {
  const Network& network = context_.network;
  const auto name = [&](LinkIndex link) { return network.has_link(link) ? network.link(link).name : std::string(); };
  std::vector<CircuitSnapshot> rows;
  for (const Circuit& circuit : circuits_ | std::views::values) {
    const bool known = !circuit.path.empty();
    rows.push_back({.circuit = circuit_text(circuit.id),
                    .role = std::string(name_of(circuit.role)),
                    .state = std::string(name_of(circuit.state)),
                    .from = known ? network.name_of(circuit.path.front().address) : "",
                    .to = known ? network.name_of(circuit.path.back().address) : "",
                    .nodes = network.node_names(circuit.path),
                    .links = network.link_names(circuit.path),
                    .upstream_link = name(circuit.up.link),
                    .downstream_link = name(circuit.down.link),
                    .upstream_alternate = circuit.up.protects() ? name(circuit.up.alternate.link) : "",
                    .downstream_alternate = circuit.down.protects() ? name(circuit.down.alternate.link) : "",
                    .age_ns = context_.now - circuit.made_ns,
                    .refreshed_ns = context_.now - circuit.refreshed_ns,
                    .expires_in_ns = circuit.expires_ns - std::min(circuit.expires_ns, context_.now),
                    .mtu = circuit.mtu,
                    .member = circuit.group.has_value(),
                    .group = circuit.group.value_or(GroupIndex{}),
                    .slot = circuit.slot,
                    .live = circuit.live,
                    .rtt_us = circuit.rtt_us,
                    .session = circuit.is_end() ? sessions_.index_of(circuit.peer) : kNoSession,
                    .send_stream = circuit.send_stream,
                    .receive_stream = circuit.receive_stream,
                    .route_from_upstream = circuit.up.mine,
                    .route_from_downstream = circuit.down.mine});
  }
  return rows;
}

}  // namespace sky::controlplane
