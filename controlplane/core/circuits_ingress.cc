// Circuits at the node that asks for them: SETUP, its retries, refresh and repair.
#include <algorithm>

#include "controlplane/core/circuits.h"

namespace sky::controlplane {
namespace {

constexpr unsigned kAttempts = 5;
constexpr uint64_t kFirstRetry_ns = 250 * kMillisecondNs;
constexpr uint64_t kAskAgain_ns = 50 * kMillisecondNs;  ///< when the far end wants a session first
constexpr uint64_t kRepairAfter_ns = 3 * kSecondNs;     ///< traffic moved at once; this mends rules that are lost
constexpr uint64_t kMostRepairGap_ns = kMinuteNs;
constexpr uint64_t kDeadAtEgress_ns = 3 * kMinuteNs;

}  // namespace

const Circuit* Circuits::start(const Path& path, unsigned rank, uint8_t copy_window) {
  const Network& network = context_.network;
  const std::vector<PathNode> nodes = network.wire_path(path);
  if (path.empty() || nodes.size() > kMostPathNodes || !admission_.has_room()) return nullptr;
  const auto link = network.own_link(nodes[1].link);
  if (!link || network.link(*link).peer != nodes[1].address) return nullptr;
  const Ipv6Address& peer = nodes.back().address;
  if (!sessions_.acquire(peer)) return nullptr;
  const CircuitsConfig& config = context_.config.circuits;
  const auto rate_kbit_s = static_cast<uint32_t>(config.rate_bps / 1000);
  const auto streams = sessions_.take_streams(peer);
  const auto route = streams ? context_.routes.allocate(context_.now) : std::nullopt;
  if (!route || !admission_.take_rate(*link, rate_kbit_s)) {
    if (route) context_.routes.release(*route, context_.now);
    if (streams) sessions_.free_streams(peer, *streams, *streams);
    sessions_.release(peer);
    return nullptr;
  }
  Circuit circuit{
      .role = CircuitRole::ingress,
      .state = CircuitState::asking,
      .path = nodes,
      .path_hash = hash_of(nodes),
      .down = {{.link = *link, .mine = *route}},
      .treatment = make_treatment(to_underlying(config.realtime ? Queue::realtime : Queue::other), config.protect),
      .rate_kbit_s = rate_kbit_s,
      .standby = rank != 0,
      .life_s = static_cast<uint32_t>(config.life_ns / kSecondNs),
      .made_ns = context_.now,
      .peer = peer,
      .send_stream = *streams,
      .receive_stream = *streams,
      .rank = rank};
  circuit.hop_limit =
      static_cast<uint8_t>(kLeastHopLimit + context_.random.number<uint8_t>() % (kMostHopLimit - kLeastHopLimit + 1));
  context_.random.fill(circuit.id);
  add_alternate(circuit.down, network.parallel_to(*link));
  circuit.mtu = leg_mtu(circuit.down);
  admission_.add(kNoLink);
  Circuit& made = insert(std::move(circuit));
  wish_copied(made, copy_window);
  ask(made);
  return &made;
}

// --- copied streams: what a circuit asks for beside those that it uses, until the egress grants it and its group can
// change over

void Circuits::wish_copied(Circuit& circuit, uint8_t window) {
  const auto wish =
      window == 0 ? CopiedStreams{} : sessions_.copied_streams(circuit.peer, window).value_or(CopiedStreams{});
  if (wish == circuit.copied_asked) return;
  if (wish.window != 0 && !sessions_.claim_copied(circuit.peer, wish, 0)) return;
  const CopiedStreams old = std::exchange(circuit.copied_asked, wish);
  circuit.copied_granted = false;
  if (old.window != 0 && old != circuit.copied) sessions_.free_copied(circuit.peer, old);
}

void Circuits::ask_copied(const CircuitId& id, uint8_t window) {
  Circuit* circuit = get(id);
  if (circuit == nullptr || circuit->role != CircuitRole::ingress || circuit->path.empty()) return;
  const CopiedStreams before = circuit->copied_asked;
  wish_copied(*circuit, window);
  if (circuit->copied_asked == before) return;
  if (window == 0) use_copied(id);
  ask(*circuit);
}

void Circuits::use_copied(const CircuitId& id) {
  Circuit* circuit = get(id);
  if (circuit == nullptr || circuit->copied == circuit->copied_asked) return;
  if (!circuit->copied_granted && circuit->copied_asked.window != 0) return;
  const CopiedStreams old = std::exchange(circuit->copied, circuit->copied_asked);
  if (old.window != 0) sessions_.free_copied(circuit->peer, old);
  if (circuit->group) ends_->rejoin(*circuit);
}

/// The egress keeps windows for none.
void Circuits::drop_copied(Circuit& circuit) {
  const CopiedStreams old = std::exchange(circuit.copied, CopiedStreams{});
  if (old.window != 0 && old != circuit.copied_asked) sessions_.free_copied(circuit.peer, old);
}

void Circuits::set_rtt(const CircuitId& id, uint32_t rtt_us) {
  Circuit* circuit = get(id);
  if (circuit != nullptr && rtt_us != 0) circuit->rtt_us = rtt_us;
}

void Circuits::set_rank(const CircuitId& id, unsigned rank) {
  Circuit* circuit = get(id);
  if (circuit == nullptr || circuit->rank == rank) return;
  circuit->rank = rank;
  circuit->standby = rank != 0;
  if (circuit->group) ends_->rejoin(*circuit);
}

void Circuits::ask(Circuit& circuit) {
  if (circuit.path.empty())
    return fail(circuit, CircuitReason::replaced);  // adopted, and no path is known that it takes
  circuit.asking.now = true;
  circuit.asking.attempt = 0;
  send_setup(circuit);
}

void Circuits::send_setup(Circuit& circuit) {
  Asking& asking = circuit.asking;
  asking.at = context_.now + (kFirstRetry_ns << asking.attempt);
  ++asking.attempt;
  schedule(circuit);
  if (!usable_way(circuit.down)) return;
  Setup setup{.refresh = circuit.state == CircuitState::up,
              .standby = circuit.standby,
              .attempt = static_cast<uint8_t>(asking.attempt - 1),
              .hop = 1,
              .circuit = circuit.id,
              .life_s = circuit.life_s,
              .treatment = circuit.treatment,
              .mtu = leg_mtu(circuit.down),
              .return_route = circuit.down.mine,
              .alternate = offered(circuit.down),
              .stream_to_egress = circuit.send_stream,
              .stream_to_ingress = circuit.receive_stream,
              .hop_limit = circuit.hop_limit,
              .rate_kbit_s = circuit.rate_kbit_s,
              .copied = circuit.copied_asked,
              .path = circuit.path,
              .blob = sessions_.blob_for_setup(circuit.peer)};
  setup.proof = sessions_.prove(circuit.peer, setup);
  say(circuit.down, setup);
}

void Circuits::on_ingress_reply(Circuit& circuit, const SetupReply& reply) {
  if (!circuit.asking.now) return;
  if (!reply.blob.empty()) sessions_.on_reply_blob(circuit.peer, reply.blob);
  if (!sessions_.usable(circuit.peer)) return;  // the answer to an older initiation: the next SETUP asks again
  const bool other_route = circuit.down.theirs != reply.forward_route;
  circuit.down.theirs = reply.forward_route;
  circuit.down.alternate.theirs = reply.alternate_route;
  circuit.mtu = std::min(leg_mtu(circuit.down), reply.mtu);
  circuit.asking.now = false;
  circuit.copied_granted = reply.copy_window != 0 && reply.copy_window == circuit.copied_asked.window;
  if (circuit.copied_asked.window != 0 && reply.copy_window == 0) drop_copied(circuit);
  circuit.asking.at = context_.now + context_.config.circuits.refresh_ns;
  if (circuit.asking.repair_at != kNever) circuit.asking.repair_at = context_.now + kRepairAfter_ns;
  if (circuit.state == CircuitState::asking) circuit.state = CircuitState::installing;
  put_rules(circuit);
  if (!circuit.group) {
    ends_->join(circuit);
    // A member whose life is not told in time; one that found no room has no life.
    if (circuit.group) circuit.asking.repair_at = context_.now + kRepairAfter_ns;
  } else {
    ends_->rejoin(circuit);
  }
  if (other_route) context_.log(LogLevel::debug, "{}: route ID of the first hop is new", describe(circuit));
  context_.planner.notify(CircuitInstalled{circuit.id});
  schedule(circuit);
}

void Circuits::on_ingress_refused(Circuit& circuit, const SetupRefused& refused) {
  if (!circuit.asking.now) return;
  switch (refused.reason) {
    case CircuitReason::need_session:
      sessions_.begin_anew(circuit.peer);
      circuit.asking.at = std::min(circuit.asking.at, context_.now + kAskAgain_ns);
      return schedule(circuit);
    case CircuitReason::session_busy:
    case CircuitReason::too_fast:
      return;  // the next attempt may find it otherwise
    default:
      break;
  }
  context_.log(LogLevel::warning, "{} refused at hop {}: {}{}{}", describe(circuit), refused.hop,
               name_of(refused.reason), refused.text.empty() ? "" : ": ", refused.text);
  circuit.asking.attempt = kAttempts;
  if (circuit.state == CircuitState::up) return give_up(circuit);
  sessions_.give_way(circuit.peer);
  ends_->failed(circuit, refused.reason);
  end(circuit, refused.reason);  // hops beyond the one that refuses may know it from an earlier attempt
}

/// All attempts were in vain.
void Circuits::give_up(Circuit& circuit) {
  Asking& asking = circuit.asking;
  asking.now = false;
  sessions_.give_way(circuit.peer);
  if (circuit.state != CircuitState::up) {
    context_.log(LogLevel::warning, "{}: no answer", describe(circuit));
    return fail(circuit, CircuitReason::expired);
  }
  asking.at = context_.now + std::min(context_.config.circuits.refresh_ns, kMinuteNs);
  if (asking.repair_at != kNever) {
    asking.repair_at = context_.now + std::min(kRepairAfter_ns << std::min(asking.repairs, 6u), kMostRepairGap_ns);
    ++asking.repairs;
    ends_->is_stuck(circuit);
  }
  schedule(circuit);
}

void Circuits::on_life(const CircuitId& id, bool live, uint32_t rtt_us) {
  Circuit* circuit = get(id);
  if (circuit == nullptr) return;
  circuit->rtt_us = rtt_us;
  if (circuit->live != live) {
    circuit->live = live;
    context_.log(live ? LogLevel::info : LogLevel::warning, "{} is {}", describe(*circuit), live ? "live" : "dead");
  }
  if (circuit->role == CircuitRole::egress) {
    // Its ingress may have given it up with a Close that was lost; if not, it mends it.
    const TimeNs whole = circuit->refreshed_ns + uint64_t{circuit->life_s} * kSecondNs;
    circuit->expires_ns = live ? whole : std::min(whole, context_.now + kDeadAtEgress_ns);
    return schedule(*circuit);
  }
  circuit->asking.repairs = 0;
  circuit->asking.repair_at = live ? kNever : context_.now + kRepairAfter_ns;
  schedule(*circuit);
}

void Circuits::tick_ingress(Circuit& circuit) {
  Asking& asking = circuit.asking;
  const bool repair = asking.repair_at <= context_.now;
  if (asking.now) {
    if (asking.at > context_.now) return schedule(circuit);
    if (asking.attempt >= kAttempts) return give_up(circuit);
    return send_setup(circuit);
  }
  if (repair || asking.at <= context_.now) return ask(circuit);
  schedule(circuit);
}

}  // namespace sky::controlplane
