#include "controlplane/core/adoption.h"

#include <algorithm>

namespace sky::controlplane {
namespace {

struct FoundPath {
  std::vector<PathNode> nodes;
  unsigned rank;
};

/// The computed path that has this hash: among the best k, else among as many as there are.
std::optional<FoundPath> find_path(const Context& context, NodeIndex from, NodeIndex to, uint64_t hash) {
  for (const unsigned k : {unsigned{context.config.circuits.paths}, kMostPaths}) {
    unsigned rank = k == kMostPaths ? kMostPaths : 0;
    for (const Path& path : context.paths->paths(from, to, k)) {
      std::vector<PathNode> nodes = context.network.wire_path(from, path);
      if (hash_of(nodes) == hash) return FoundPath{std::move(nodes), rank};
      ++rank;
    }
  }
  return std::nullopt;
}

void find_path(const Context& context, Circuit& circuit) {
  const auto peer = context.network.find_node(circuit.peer);
  if (!peer) return;
  const bool ingress = circuit.role == CircuitRole::ingress;
  const NodeIndex self = context.network.self();
  auto found = find_path(context, ingress ? self : *peer, ingress ? *peer : self, circuit.path_hash);
  if (ingress) circuit.rank = found ? found->rank : kMostPaths;
  if (!found) return;
  circuit.path = std::move(found->nodes);
  circuit.hop = ingress ? 0 : static_cast<uint8_t>(circuit.path.size() - 1);
}

/// An end's circuit belongs to a session and, as a member, to the group of its peer.
bool adopt_end(const AdoptionParts& parts, Circuit& circuit, const Rule& rule) {
  const auto peer = parts.sessions.peer_of(rule.session);
  if (!peer) return false;
  circuit.peer = *peer;
  find_path(parts.context, circuit);
  parts.sessions.set_peer_lanes(*peer, rule.streams);
  if (!parts.sessions.acquire(*peer)) return false;
  if (!parts.sessions.claim_streams(*peer, circuit.send_stream, circuit.receive_stream)) {
    parts.sessions.release(*peer);
    return false;
  }
  if (circuit.copied.window != 0 && !parts.sessions.claim_copied(*peer, circuit.copied, rule.worker))
    circuit.copied = circuit.copied_asked = {};
  if (circuit.group && !parts.groups.adopt(circuit)) {
    if (circuit.copied.window != 0) parts.sessions.free_copied(*peer, circuit.copied);
    parts.sessions.free_streams(*peer, circuit.send_stream, circuit.receive_stream);
    parts.sessions.release(*peer);
    return false;
  }
  return true;
}

bool has_adopted_links(const Links& links, const Circuit& circuit) {
  const auto adopted = [&](const Way& way) { return way.mine == kControlRoute || links.is_adopted(way.link); };
  return std::ranges::all_of(circuit.up.ways(), adopted) && std::ranges::all_of(circuit.down.ways(), adopted);
}

std::map<CircuitId, CircuitRows> circuits_of(const std::vector<InstallMessage>& rows, RouteIds& routes) {
  std::map<CircuitId, CircuitRows> circuits;
  for (const InstallMessage& row : rows) {
    if (row.verb == Verb::put_rule) {
      const auto rule = row.as<RuleMessage>();
      if (routes.adopt(rule.rule.route_id)) circuits[rule.circuit].rules.push_back(rule);
    } else if (row.verb == Verb::put_member) {
      const auto member = row.as<MemberMessage>();
      circuits[member.circuit].member = member;
    }
  }
  return circuits;
}

}  // namespace

size_t adopt(const std::vector<InstallMessage>& rows, AdoptionParts parts) {
  for (const InstallMessage& row : rows) {
    if (row.verb == Verb::put_link) parts.links.adopt(row.as<LinkMessage>());
    if (row.verb == Verb::put_session) parts.sessions.adopt(row.as<SessionMessage>());
    if (row.verb == Verb::put_group) parts.groups.adopt(row.as<GroupMessage>());
  }
  std::vector<CircuitId> adopted;
  for (const auto& [id, found] : circuits_of(rows, parts.context.routes)) {
    auto circuit = recover(found);
    if (!circuit || !has_adopted_links(parts.links, *circuit)) continue;
    if (circuit->is_end() && !adopt_end(parts, *circuit, found.rules.front().rule)) continue;
    parts.circuits.adopt(std::move(*circuit));
    adopted.push_back(id);
  }
  for (const CircuitId& id : adopted) parts.groups.rejoin(*parts.circuits.find(id));
  parts.sessions.drop_unused();
  return adopted.size();
}

}  // namespace sky::controlplane
