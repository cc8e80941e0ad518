// Circuits at a node that a SETUP comes to: transit and egress.
#include <algorithm>

#include "controlplane/core/circuits.h"

namespace sky::controlplane {
namespace {

/// How long a circuit that is not up yet has its place here: the ingress asks for about 8 s.
constexpr uint64_t kSetupTime_ns = 10 * kSecondNs;

}  // namespace

void Circuits::refuse(LinkIndex link, const Setup& setup, CircuitReason reason, std::string text) {
  refuse(Leg{{.link = link}}, setup, reason, std::move(text));
}

void Circuits::refuse(const Leg& leg, const Setup& setup, CircuitReason reason, std::string text) {
  say(leg, SetupRefused{.reason = reason, .hop = setup.hop, .circuit = setup.circuit, .text = std::move(text)});
}

void Circuits::on_setup(LinkIndex from, Setup& setup) {
  const OwnLink& link = context_.network.link(from);
  const LinkId wanted = setup.path[setup.hop].link;
  // While the link of the path is down, a refresh comes by a parallel one.
  const auto named = context_.network.own_link(wanted);
  const LinkIndex path_link = named && context_.network.parallel(*named, from) ? *named : from;
  const SetupOrigin origin{
      .self = context_.network.address(), .neighbour = link.peer, .link = context_.network.link(path_link).id};
  if (std::string wrong = misplaced(setup, origin); !wrong.empty()) {
    return refuse(from, setup, CircuitReason::malformed, std::move(wrong));
  }
  Circuit* circuit = get(setup.circuit);
  if (circuit != nullptr && !circuit->fits(setup, path_link)) return refuse(from, setup, CircuitReason::conflict);
  if (circuit == nullptr) {
    const auto made = make(path_link, setup);
    if (!made) return refuse(from, setup, made.error());
    circuit = *made;
  }
  if (circuit->role == CircuitRole::egress && !is_theirs(*circuit, setup)) {
    refuse(from, setup, CircuitReason::not_proven);
    if (circuit->state == CircuitState::asking) remove(setup.circuit);
    return;
  }
  take_over(*circuit, setup);
  if (circuit->role == CircuitRole::transit) {
    pass_on(*circuit, setup);
  } else {
    take_in(*circuit, setup);
  }
}

/// Whether the ingress that a SETUP names vouches for it, and its streams are free. Only then is anything believed of
/// it.
bool Circuits::is_theirs(Circuit& circuit, const Setup& setup) {
  if (!sessions_.proves(circuit.peer, setup)) return false;
  if (circuit.group || circuit.send_stream == setup.stream_to_ingress) return true;
  // Adopted without a member, so its own stream was not known.
  sessions_.free_streams(circuit.peer, circuit.send_stream, circuit.receive_stream);
  const bool free = sessions_.claim_streams(circuit.peer, setup.stream_to_ingress, circuit.receive_stream);
  if (free) {
    circuit.send_stream = setup.stream_to_ingress;
  } else {
    sessions_.claim_streams(circuit.peer, circuit.send_stream, circuit.receive_stream);  // as before
  }
  return free;
}

std::expected<Circuit*, CircuitReason> Circuits::make(LinkIndex from, const Setup& setup) {
  Circuit circuit{.id = setup.circuit,
                  .role = setup.hop + 1u == setup.path.size() ? CircuitRole::egress : CircuitRole::transit,
                  .state = CircuitState::asking,
                  .made_ns = context_.now,
                  .expires_ns = context_.now + kSetupTime_ns};
  circuit.up.link = from;
  circuit.rate_kbit_s = setup.rate_kbit_s;
  if (const CircuitReason reason = admission_.admit(from, context_.now); reason != CircuitReason::none) {
    return std::unexpected(reason);
  }
  CircuitReason reason =
      circuit.role == CircuitRole::transit ? make_transit(circuit, setup) : make_egress(circuit, setup);
  if (reason == CircuitReason::none) {
    const auto up = context_.routes.allocate(context_.now);
    const auto down = circuit.role == CircuitRole::transit && up ? context_.routes.allocate(context_.now) : RouteId{0};
    circuit.up.mine = up.value_or(RouteId{0});
    circuit.down.mine = down.value_or(RouteId{0});
    const bool has_room = up && down;
    if (has_room && take_rate(circuit)) {
      if (circuit.role == CircuitRole::transit)
        add_alternate(circuit.down, context_.network.parallel_to(circuit.down.link));
      return &insert(std::move(circuit));
    }
    for (const RouteId route : {circuit.up.mine, circuit.down.mine}) {
      if (route != kControlRoute) context_.routes.release(route, context_.now);
    }
    reason = has_room ? CircuitReason::no_bandwidth : CircuitReason::full;
    if (circuit.role == CircuitRole::egress) {
      sessions_.free_streams(circuit.peer, circuit.send_stream, circuit.receive_stream);
      sessions_.release(circuit.peer);
    }
  }
  admission_.remove(from);
  return std::unexpected(reason);
}

/// Of the budgets of both links, or of none.
bool Circuits::take_rate(const Circuit& circuit) {
  if (circuit.up.link != kNoLink && !admission_.take_rate(circuit.up.link, circuit.rate_kbit_s)) return false;
  if (circuit.down.link == kNoLink || admission_.take_rate(circuit.down.link, circuit.rate_kbit_s)) return true;
  admission_.free_rate(circuit.up.link, circuit.rate_kbit_s);
  return false;
}

CircuitReason Circuits::make_transit(Circuit& circuit, const Setup& setup) const {
  const PathNode& next = setup.path[setup.hop + 1u];
  const auto link = context_.network.own_link(next.link);
  if (!link || context_.network.link(*link).peer != next.address || *link == circuit.up.link) {
    return CircuitReason::not_here;
  }
  if (!links_.usable(*link)) return CircuitReason::link_down;
  circuit.down.link = *link;
  return CircuitReason::none;
}

CircuitReason Circuits::make_egress(Circuit& circuit, const Setup& setup) {
  const Ipv6Address& peer = setup.path.front().address;
  if (!context_.network.find_node(peer)) return CircuitReason::unknown_peer;
  const bool lower_half = peer < context_.network.address();
  for (const uint16_t stream : {setup.stream_to_egress, setup.stream_to_ingress}) {
    if ((stream < kStreams / 2) != lower_half) return CircuitReason::conflict;
  }
  if (!sessions_.acquire(peer)) return CircuitReason::full;
  if (!sessions_.claim_streams(peer, setup.stream_to_ingress, setup.stream_to_egress)) {
    sessions_.release(peer);
    return CircuitReason::conflict;
  }
  circuit.peer = peer;
  circuit.send_stream = setup.stream_to_ingress;
  circuit.receive_stream = setup.stream_to_egress;
  return CircuitReason::none;
}

/// The second way of this hop that the node before it offers: believed where it is a link to that same node.
void Circuits::take_offer(Circuit& circuit, const AlternateWay& offer) {
  Leg& leg = circuit.up;
  const auto link = context_.network.own_link(offer.link);
  const bool good = link && context_.network.parallel(*link, leg.link);
  if (leg.has_alternate() && (!good || leg.alternate.link != *link)) drop_alternate(circuit, leg);
  if (!good) return;
  if (!leg.has_alternate()) {
    add_alternate(leg, *link);
    if (leg.has_alternate() && circuit.is_end()) ends_by_route_.emplace(to_underlying(leg.alternate.mine), circuit.id);
  }
  leg.alternate.theirs = offer.route;
}

/// What a SETUP says anew each time.
void Circuits::take_over(Circuit& circuit, const Setup& setup) {
  const Leg before = circuit.up;
  circuit.path = setup.path;
  circuit.path_hash = hash_of(setup.path);
  circuit.hop = setup.hop;
  circuit.up.theirs = setup.return_route;
  circuit.treatment = setup.treatment;
  circuit.hop_limit = setup.hop_limit;
  circuit.standby = setup.standby;
  circuit.life_s = setup.life_s;
  take_offer(circuit, setup.alternate);
  circuit.mtu = std::min(setup.mtu, leg_mtu(circuit.up));
  circuit.reply_due = true;
  if (circuit.role == CircuitRole::transit && circuit.ruled && circuit.up != before) put_rules(circuit);
  schedule(circuit);
}

/// Where it cannot have them it goes on without.
void Circuits::take_copied(Circuit& circuit, const CopiedStreams& asked) {
  if (asked == circuit.copied) return;
  const bool theirs = (asked.stream < kStreams / 2) == (circuit.peer < context_.network.address());
  const bool granted =
      asked.window != 0 && theirs && sessions_.claim_copied(circuit.peer, asked, links_.worker(circuit.up.link));
  const CopiedStreams old = std::exchange(circuit.copied, granted ? asked : CopiedStreams{});
  if (old.window != 0) sessions_.free_copied(circuit.peer, old);
}

void Circuits::pass_on(Circuit& circuit, Setup& setup) {
  if (!usable_way(circuit.down)) {
    refuse(circuit.up, setup, CircuitReason::link_down);
    circuit.reply_due = false;
    return;
  }
  circuit.mtu = std::min(circuit.mtu, leg_mtu(circuit.down));
  circuit.blob.clear();
  setup.hop++;
  setup.return_route = circuit.down.mine;
  setup.alternate = offered(circuit.down);
  setup.mtu = circuit.mtu;
  say(circuit.down, setup);
}

void Circuits::take_in(Circuit& circuit, const Setup& setup) {
  if (!asks(circuit.peer)) sessions_.give_way(circuit.peer);
  const CircuitReason reason = sessions_.on_setup_blob(circuit.peer, setup.blob, circuit.up.link);
  if (reason != CircuitReason::none) {
    refuse(circuit.up, setup, reason);
    circuit.reply_due = false;
    if (circuit.state == CircuitState::asking) remove(circuit.id);
    return;
  }
  circuit.blob = setup.blob;
  take_copied(circuit, setup.copied);
  if (circuit.state == CircuitState::asking) circuit.state = CircuitState::installing;
  put_rules(circuit);
  if (circuit.group) {
    ends_->rejoin(circuit);
  } else {
    ends_->join(circuit);
  }
  context_.planner.notify(CircuitInstalled{circuit.id});
}

/// Whether a SETUP of this node's own to that peer is under way.
bool Circuits::asks(const Ipv6Address& peer) const {
  const auto [first, last] = by_peer_.equal_range(peer);
  return std::any_of(first, last, [&](const auto& each) {
    const Circuit* circuit = find(each.second);
    return circuit->role == CircuitRole::ingress && circuit->asking.now;
  });
}

void Circuits::answer(Circuit& circuit) {
  circuit.reply_due = false;
  SetupReply reply{.hop = circuit.hop,
                   .circuit = circuit.id,
                   .forward_route = circuit.up.mine,
                   .alternate_route = circuit.up.alternate.mine,
                   .mtu = circuit.mtu,
                   .copy_window = circuit.copied.window,
                   .blob = {}};
  if (circuit.role == CircuitRole::transit) {
    reply.blob = std::exchange(circuit.blob, {});
  } else if (!circuit.blob.empty()) {
    reply.blob = sessions_.blob_for_reply(circuit.peer, circuit.blob);
    if (reply.blob.empty()) return;  // a later initiation took its place: the ingress asks with that one
    circuit.blob.clear();
  }
  say(circuit.up, reply);
}

}  // namespace sky::controlplane
