#include "controlplane/core/requests.h"

#include <algorithm>
#include <cstring>

namespace sky::controlplane {
namespace {

constexpr uint64_t kForCircuits_ns = 3 * kSecondNs;
constexpr uint64_t kForAnswers_ns = kSecondNs;
constexpr uint64_t kLook_ns = 50 * kMillisecondNs;
constexpr uint64_t kFromControlPlane = uint64_t{1} << 63;

struct PingPayload {
  Be64 timestamp;
  Be64 word;  ///< bit 63, and the probe's number
};
static_assert(sizeof(PingPayload) == 16);

}  // namespace

Requests::Requests(Context& context, Groups& groups, Circuits& circuits)
    : context_(context), groups_(groups), circuits_(circuits) {
  groups_.set_traced([this](const Circuit& circuit, const TraceReply& reply) { on_trace_reply(circuit, reply); });
}

void Requests::begin(uint64_t token, const std::string& node, bool trace) {
  const auto found = context_.network.topology().find_node(node);
  const auto fail_with = [&](std::string error) {
    context_.out.answer({.token = token, .error = std::move(error), .circuits = {}});
  };
  if (!found) return fail_with(fmt::format("found {}, wanted the name of a node of the topology", node));
  if (*found == context_.network.self()) return fail_with(fmt::format("{} is this node", node));
  if (open_.size() >= kMostOpen) return fail_with(fmt::format("{} requests are open already", kMostOpen));
  open_.push_back({.token = token,
                   .node = context_.network.address_of(*found),
                   .trace = trace,
                   .give_up_ns = context_.now + kForCircuits_ns});
  groups_.want(open_.back().node);
}

Requests::Probe Requests::probe(const Circuit& circuit, bool trace) const {
  const Network& network = context_.network;
  Probe probe{.circuit = circuit.id,
              .sent_ns = context_.now,
              .result = {.circuit = circuit_text(circuit.id), .hops = {}},
              .missing = 1};
  const bool known = !circuit.path.empty();
  if (!trace || !known) {
    probe.result.hops.push_back({.node = network.name_of(circuit.peer), .link = {}});
    return probe;
  }
  // From here to the far end, whichever end this is.
  for (size_t i = 0; i < circuit.path.size(); ++i) {
    const bool down = circuit.role == CircuitRole::ingress;
    const size_t at = down ? i : circuit.path.size() - 1 - i;
    const LinkId link = down ? circuit.path[at].link : i == 0 ? LinkId{} : circuit.path[at + 1].link;
    probe.result.hops.push_back(
        {.node = network.name_of(circuit.path[at].address), .link = i == 0 ? "" : network.name_of(link)});
  }
  probe.result.hops.front().delay_ns = 0;
  probe.missing = circuit.path.size() - 1;
  return probe;
}

/// Over every circuit to the node that is up.
void Requests::send(Request& request) {
  const Group* group = groups_.find(request.node);
  for (unsigned slot = 0; group != nullptr && slot < kMaxMembers; ++slot) {
    const Circuit* circuit = group->slots[slot] ? circuits_.find(*group->slots[slot]) : nullptr;
    if (circuit == nullptr || circuit->state != CircuitState::up) continue;
    const auto number = context_.random.nonzero<uint32_t>();
    if (request.trace) {
      circuits_.trace(*circuit, number);
    } else {
      const PingPayload payload{.timestamp = Be64(context_.now), .word = Be64(kFromControlPlane | number)};
      circuits_.send_over(*circuit, PacketType::ping, __builtin_bit_cast(std::array<uint8_t, 16>, payload));
    }
    request.sent.emplace(number, probe(*circuit, request.trace));
  }
  if (!request.sent.empty()) request.give_up_ns = context_.now + kForAnswers_ns;
}

Requests::Probe* Requests::find(const CircuitId& circuit, uint32_t number) {
  for (Request& request : open_) {
    const auto found = request.sent.find(number);
    if (found != request.sent.end() && found->second.circuit == circuit) return &found->second;
  }
  return nullptr;
}

void Requests::on_pong(const ControlPacket& packet) {
  const Circuit* circuit = circuits_.find(packet.route);
  if (circuit == nullptr || packet.length != sizeof(PingPayload)) return;
  PingPayload payload;
  std::memcpy(&payload, packet.payload.data(), sizeof payload);
  if ((payload.word.get() & ~uint64_t{UINT32_MAX}) != kFromControlPlane) return;
  Probe* probe = find(circuit->id, static_cast<uint32_t>(payload.word.get()));
  if (probe == nullptr || probe->missing == 0) return;
  probe->missing = 0;
  probe->result.hops.front().delay_ns = static_cast<int64_t>(std::max(packet.at_ns, probe->sent_ns) - probe->sent_ns);
}

void Requests::on_trace_reply(const Circuit& circuit, const TraceReply& reply) {
  Probe* probe = find(circuit.id, reply.probe);
  if (probe == nullptr || circuit.path.empty() || reply.hop >= circuit.path.size()) return;
  if (circuit.path[reply.hop].address != reply.address) return;
  const size_t at = circuit.role == CircuitRole::ingress ? reply.hop : circuit.path.size() - 1 - reply.hop;
  TraceHop& hop = probe->result.hops[at];
  if (hop.delay_ns >= 0) return;
  hop.delay_ns = static_cast<int64_t>(context_.now - probe->sent_ns);
  --probe->missing;
}

void Requests::finish(Request& request) {
  Answer answer{.token = request.token, .error = {}, .circuits = {}};
  for (auto& [number, probe] : request.sent) answer.circuits.push_back(std::move(probe.result));
  if (answer.circuits.empty()) {
    answer.error = fmt::format("no circuit to {} came up within {}", context_.network.name_of(request.node),
                               format_duration_ns(kForCircuits_ns));
  }
  context_.out.answer(std::move(answer));
}

/// True when it is answered.
bool Requests::tick(Request& request) {
  if (request.sent.empty() && request.look_at <= context_.now) {
    request.look_at = context_.now + kLook_ns;
    send(request);
  }
  const bool complete = !request.sent.empty() &&
                        std::ranges::all_of(request.sent, [](const auto& each) { return each.second.missing == 0; });
  if (!complete && context_.now < request.give_up_ns) return false;
  finish(request);
  return true;
}

void Requests::tick() {
  std::erase_if(open_, [&](Request& request) { return tick(request); });
}

TimeNs Requests::next_deadline() const {
  TimeNs next = kNever;
  for (const Request& request : open_) {
    next = std::min(next, request.sent.empty() ? std::min(request.look_at, request.give_up_ns) : request.give_up_ns);
  }
  return next;
}

}  // namespace sky::controlplane
