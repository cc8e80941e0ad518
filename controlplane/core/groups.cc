#include "controlplane/core/groups.h"

#include <algorithm>
#include <ranges>

#include "dataplane/base/address.h"

namespace sky::controlplane {

Groups::Groups(Context& context, Links& links, Sessions& sessions, Circuits& circuits)
    : context_(context), links_(links), sessions_(sessions), circuits_(circuits) {}

const Group* Groups::find(GroupIndex index) const {
  const auto found = groups_.find(index);
  return found == groups_.end() ? nullptr : &found->second;
}

const Group* Groups::find(const Ipv6Address& end) const {
  const auto found = by_end_.find(end);
  return found == by_end_.end() ? nullptr : find(found->second);
}

std::optional<GroupIndex> Groups::free_index() {
  while (groups_.contains(GroupIndex{first_free_})) ++first_free_;
  uint32_t index = first_free_;
  while (groups_.contains(GroupIndex{index}) || context_.planner.knows(group_key(GroupIndex{index}))) ++index;
  return index < context_.config.dataplane.sizes.groups ? std::optional(GroupIndex{index}) : std::nullopt;
}

Group* Groups::make(const Ipv6Address& end, GroupIndex index) {
  const auto node = context_.network.find_node(end);
  if (!node) return nullptr;
  const ProbeConfig& probe = context_.config.circuits.probe;
  const uint32_t copy_rate = copy_rate_of(*node);
  context_.planner.put(GroupMessage{.mode = copy_rate == 0 ? GroupMode::pin : GroupMode::copy,
                                    .until_up = context_.config.circuits.until_up,
                                    .probe_multiplier = probe.multiplier,
                                    .group = index,
                                    .probe_interval_us = static_cast<uint32_t>(probe.interval_ns / kMicrosecondNs),
                                    .domain = context_.network.domain_of(*node).as_number,
                                    .cookie = 0,
                                    .end = end,
                                    .copy_rate = copy_rate});
  by_end_.emplace(end, index);
  return &groups_.emplace(index, Group{.index = index, .end = end, .copy_rate = copy_rate}).first->second;
}

void Groups::adopt(const GroupMessage& row) {
  if (to_underlying(row.group) >= context_.config.dataplane.sizes.groups) return;
  if (!groups_.contains(row.group) && !by_end_.contains(row.end)) make(row.end, row.group);
}

bool Groups::adopt(const Circuit& circuit) {
  Group* group = get(circuit.group.value());
  if (group == nullptr || group->end != circuit.peer || group->slots[circuit.slot]) return false;
  group->slots[circuit.slot] = circuit.id;
  group->used_ns = context_.now;
  if (circuit.role == CircuitRole::ingress) {
    group->own.emplace(circuit.path_hash, circuit.id);
    group->wanted = true;
  }
  return true;
}

void Groups::rebuild() {
  paths_.clear();
  const Topology& topology = context_.network.topology();
  for (size_t i = 0; i < topology.nodes.size(); ++i) {
    const NodeIndex node{static_cast<uint32_t>(i)};
    const Ipv6Address& end = context_.network.address_of(node);
    if (node == context_.network.self() || by_end_.contains(end)) continue;
    const auto index = free_index();
    if (!index) {
      context_.log(LogLevel::error, "found more nodes than dataplane.sizes.groups: {} and on cannot be reached",
                   topology.nodes[i].name);
      break;
    }
    make(end, *index);
  }
  for (auto at = by_end_.begin(); at != by_end_.end();) {
    const auto [end, index] = *at++;
    if (!context_.network.find_node(end)) remove(*get(index));
  }
  for (const MarkedName& kept : context_.config.circuits.keep) {
    const auto node = topology.find_node(kept.name);
    Group* group = node ? get(context_.network.address_of(*node)) : nullptr;
    if (group == nullptr) continue;
    group->kept = true;
    want(*group);
  }
}

void Groups::remove(Group& group) {
  for (const auto& slot : group.slots) {
    if (slot) circuits_.close(CircuitId(*slot), CircuitReason::shutdown);
  }
  for (const auto& [path, id] : std::map(group.own)) circuits_.close(id, CircuitReason::shutdown);
  context_.planner.erase(group_key(group.index));
  deadlines_.erase(group.index);
  by_end_.erase(group.end);
  first_free_ = std::min(first_free_, to_underlying(group.index));
  groups_.erase(GroupIndex(group.index));
}

void Groups::attached(const std::map<RowKey, bool>& live) {
  for (Group& group : groups_ | std::views::values) {
    for (unsigned slot = 0; slot < kMaxMembers; ++slot) {
      if (!group.slots[slot]) continue;
      const auto row = live.find(member_key(group.index, slot));
      circuits_.on_life(*group.slots[slot], row != live.end() && row->second, 0);
    }
    if (has_live(group)) set_unreachable(group, false);
    if (group.wanted) deadlines_.set(group.index, context_.now);
  }
}

// --- members

void Groups::join(Circuit& circuit) {
  Group* group = get(circuit.peer);
  if (group == nullptr) return;
  const auto free = std::ranges::find_if(group->slots, [](const auto& slot) { return !slot; });
  if (free == group->slots.end()) return;
  *free = circuit.id;
  circuit.group = group->index;
  circuit.slot = static_cast<uint8_t>(free - group->slots.begin());
  circuit.live = false;
  put_members(*group);
  if (circuit.role == CircuitRole::egress) want_copies(*group);
}

void Groups::rejoin(const Circuit& circuit) {
  const Group* group = circuit.group ? find(*circuit.group) : nullptr;
  if (group != nullptr) put_members(*group);
}

void Groups::leave(const Circuit& circuit) {
  Group* group = get(circuit.group.value());
  if (group == nullptr) return;
  group->slots[circuit.slot].reset();
  const auto own = group->own.find(circuit.path_hash);
  if (own != group->own.end() && own->second == circuit.id) group->own.erase(own);
  context_.planner.erase(member_key(group->index, circuit.slot));
  put_members(*group);
}

std::optional<unsigned> Groups::best_own(const Group& group) const {
  std::optional<unsigned> best;
  for (const auto& slot : group.slots) {
    const Circuit* circuit = slot ? circuits_.find(*slot) : nullptr;
    if (circuit == nullptr || circuit->role != CircuitRole::ingress) continue;
    best = std::min(best.value_or(circuit->rank), circuit->rank);
  }
  return best;
}

uint8_t Groups::weight_of(const Circuit& circuit) const {
  const Group* group = circuit.group ? find(*circuit.group) : nullptr;
  if (group == nullptr) return 0;
  const auto best = best_own(*group);
  if (circuit.role == CircuitRole::ingress) return circuit.rank == best ? 1 : 0;
  return best || circuit.standby ? 0 : 1;
}

void Groups::put_members(const Group& group) {
  for (const auto& slot : group.slots) {
    const Circuit* circuit = slot ? circuits_.find(*slot) : nullptr;
    if (circuit != nullptr)
      context_.planner.put(circuit->member(sessions_.index_of(circuit->peer), weight_of(*circuit)));
  }
}

void Groups::on_member_state(const MemberStateEvent& event) {
  Group* group = get(event.group);
  if (group == nullptr || event.slot >= kMaxMembers || !group->slots[event.slot]) return;
  circuits_.on_life(*group->slots[event.slot], event.live != 0, event.rtt_us);
  if (event.live != 0) set_unreachable(*group, false);
  if (group->wanted) deadlines_.set(group->index, context_.now);
}

bool Groups::has_live(const Group& group) const {
  return std::ranges::any_of(group.slots, [&](const auto& slot) {
    const Circuit* circuit = slot ? circuits_.find(*slot) : nullptr;
    return circuit != nullptr && circuit->live;
  });
}

void Groups::traced(const Circuit& circuit, const TraceReply& reply) {
  if (traced_) traced_(circuit, reply);
}

// --- what is shown

const char* Groups::state_of(const Group& group) const {
  if (has_live(group)) return "up";
  const bool members = std::ranges::any_of(group.slots, [](const auto& slot) { return slot.has_value(); });
  return members ? "dead" : group.wanted ? "waiting" : "idle";
}

std::vector<GroupSnapshot> Groups::snapshot() const {
  const Network& network = context_.network;
  std::vector<GroupSnapshot> rows;
  for (const Group& group : groups_ | std::views::values) {
    const auto node = network.find_node(group.end);
    GroupSnapshot row{.index = group.index,
                      .node = network.name_of(group.end),
                      .domain = node ? network.domain_of(*node).name : "",
                      .as_number = node ? network.domain_of(*node).as_number : 0,
                      .address = to_string(IpAddress{.bytes = group.end, .family = Family::ipv6}),
                      .state = state_of(group),
                      .kept = group.kept,
                      .copy_rate = group.copy_rate,
                      .used_ns = group.used_ns == 0 ? 0 : std::max<uint64_t>(context_.now - group.used_ns, 1),
                      .members = {}};
    if (group.copy_rate != 0) show_copies(group, row);
    for (const auto& slot : group.slots) {
      const Circuit* circuit = slot ? circuits_.find(*slot) : nullptr;
      if (circuit == nullptr) continue;
      row.members.push_back({.slot = circuit->slot,
                             .circuit = circuit_text(circuit->id),
                             .own = circuit->role == CircuitRole::ingress,
                             .live = circuit->live,
                             .weight = weight_of(*circuit),
                             .mtu = circuit->mtu,
                             .rtt_us = circuit->rtt_us,
                             .nodes = network.node_names(circuit->path)});
    }
    rows.push_back(std::move(row));
  }
  return rows;
}

std::vector<PathSnapshot> Groups::paths_snapshot() const {
  const Network& network = context_.network;
  std::vector<PathSnapshot> rows;
  for (const Group& group : groups_ | std::views::values) {
    unsigned rank = 0;
    for (const Path& path : best_paths(group)) {
      const std::vector<PathNode> nodes = network.wire_path(path);
      uint64_t delay_ns = 0;
      for (const Hop& hop : path) delay_ns += network.topology().at(hop.link).delay_ns;
      const auto own = group.own.find(hash_of(nodes));
      rows.push_back({.to = network.name_of(group.end),
                      .rank = rank++,
                      .nodes = network.node_names(nodes),
                      .links = network.link_names(nodes),
                      .delay_ns = delay_ns,
                      .circuit = own == group.own.end() ? "" : circuit_text(own->second)});
    }
  }
  return rows;
}

}  // namespace sky::controlplane
