#include "controlplane/core/destinations.h"

#include <algorithm>

namespace sky::controlplane {
namespace {

constexpr size_t kUnreachable = SIZE_MAX;

}  // namespace

void Destinations::add(const Prefix& prefix, NodeIndex node) {
  servers_[prefix].push_back(node);
}

void Destinations::rebuild() {
  const Topology& topology = context_.network.topology();
  const NodeIndex self = context_.network.self();
  servers_.clear();
  distance_.assign(topology.nodes.size(), kUnreachable);
  for (size_t i = 0; i < topology.nodes.size(); ++i) {
    const NodeIndex node{static_cast<uint32_t>(i)};
    add(host_prefix(IpAddress{.bytes = context_.network.address_of(node), .family = Family::ipv6}), node);
    for (const IpAddress& address : topology.at(node).addresses) add(host_prefix(address), node);
    for (const Prefix& prefix : topology.prefixes_of(node)) add(prefix, node);
    const auto path = context_.paths->paths(self, node, 1);
    if (!path.empty()) distance_[i] = path.front().size();
  }
  distance_[to_underlying(self)] = 0;
  for (auto& [prefix, nodes] : servers_) {
    std::ranges::sort(nodes, {}, [&](NodeIndex node) { return std::pair(distance_[to_underlying(node)], node); });
  }
  choose();
}

NodeIndex Destinations::best(const std::vector<NodeIndex>& servers) const {
  const auto reachable = std::ranges::find_if(servers, [&](NodeIndex node) {
    const Group* group = groups_.find(context_.network.address_of(node));
    return node == context_.network.self() || (group != nullptr && !group->unreachable);
  });
  return reachable == servers.end() ? servers.front() : *reachable;
}

void Destinations::choose() {
  std::map<Prefix, NodeIndex> before = std::exchange(chosen_, {});
  std::map<Family, uint32_t> count;
  for (const auto& [prefix, nodes] : servers_) {
    const NodeIndex node = best(nodes);
    const Group* group = groups_.find(context_.network.address_of(node));
    const bool local = node == context_.network.self();
    if (!local && group == nullptr) continue;
    const uint32_t most = context_.config.dataplane.sizes.prefixes;
    if (++count[prefix.family] > most) {
      if (count[prefix.family] == most + 1) {
        context_.log(LogLevel::error,
                     "found more than dataplane.sizes.prefixes, {}, of a family: {} and on are left out", most,
                     to_string(prefix));
      }
      continue;
    }
    context_.planner.put(DestinationMessage{.family = prefix.family,
                                            .length = prefix.length,
                                            .group = local ? kLocalGroup : group->index,
                                            .prefix = prefix.address});
    chosen_.emplace(prefix, node);
    before.erase(prefix);
  }
  for (const auto& [prefix, node] : before) context_.planner.erase(destination_key(prefix));
}

std::vector<DestinationSnapshot> Destinations::snapshot() const {
  const Network& network = context_.network;
  std::vector<DestinationSnapshot> rows;
  for (const auto& [prefix, node] : chosen_) {
    const bool local = node == network.self();
    const Group* group = local ? nullptr : groups_.find(network.address_of(node));
    rows.push_back({.prefix = to_string(prefix),
                    .local = local,
                    .group = group == nullptr ? kLocalGroup : group->index,
                    .node = network.topology().at(node).name,
                    .domain = network.domain_of(node).name,
                    .state = group == nullptr ? "local" : groups_.state_of(*group)});
  }
  return rows;
}

}  // namespace sky::controlplane
