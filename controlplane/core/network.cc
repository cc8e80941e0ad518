#include "controlplane/core/network.h"

#include <algorithm>

#include "dataplane/base/address.h"

namespace sky::controlplane {
namespace {

constexpr uint64_t kUntoldBudget_bps = 100'000'000;

uint32_t realtime_kbit_s(const LinkConfig& link, const TopologyLink& told) {
  const uint64_t share_bps = told.capacity_bps == 0 ? kUntoldBudget_bps : told.capacity_bps / 10;
  return static_cast<uint32_t>(std::min<uint64_t>(link.realtime_bps.value_or(share_bps) / 1000, kMostRate_kbit_s));
}

}  // namespace

Result<Network> Network::create(std::shared_ptr<TopologySource> source, const RouterConfig& config) {
  Network network;
  network.source_ = std::move(source);
  network.self_name_ = config.node.name;
  const Topology& topology = network.topology();
  const auto self = topology.find_node(config.node.name);
  if (!self) return fail("node: found {}, wanted a node of the topology", config.node.name);
  network.self_ = *self;
  for (const LinkConfig& link : config.links) {
    const auto edge = topology.find_link(link.name);
    if (!edge || (topology.at(*edge).ends[0] != *self && topology.at(*edge).ends[1] != *self)) {
      return fail("links: found {}, wanted a link of the topology that ends at {}", link.name, config.node.name);
    }
    const TopologyNode& peer = topology.at(topology.other_end(*edge, *self));
    network.own_links_.emplace(link_id(link.name), LinkIndex{static_cast<uint16_t>(network.links_.size())});
    network.links_.push_back({.name = link.name,
                              .id = link_id(link.name),
                              .peer = skywire_address(peer.key),
                              .peer_name = peer.name,
                              .peer_key = peer.key,
                              .realtime_kbit_s = realtime_kbit_s(link, topology.at(*edge))});
  }
  network.index();
  return network;
}

bool Network::refresh() {
  if (source_->version() == version_) return false;
  index();
  return true;
}

void Network::index() {
  version_ = source_->version();
  if (const auto self = topology().find_node(self_name_)) self_ = *self;
  addresses_.clear();
  nodes_.clear();
  edges_.clear();
  for (size_t i = 0; i < topology().nodes.size(); ++i) {
    addresses_.push_back(skywire_address(topology().nodes[i].key));
    nodes_.emplace(addresses_.back(), NodeIndex{static_cast<uint32_t>(i)});
  }
  for (size_t i = 0; i < topology().links.size(); ++i) {
    edges_.emplace(link_id(topology().links[i].name), EdgeIndex{static_cast<uint32_t>(i)});
  }
}

std::optional<LinkIndex> Network::own_link(const LinkId& id) const {
  const auto found = own_links_.find(id);
  return found == own_links_.end() ? std::nullopt : std::optional(found->second);
}

std::optional<LinkIndex> Network::parallel_to(LinkIndex link) const {
  for (size_t step = 1; step < links_.size(); ++step) {
    const LinkIndex other{static_cast<uint16_t>((to_underlying(link) + step) % links_.size())};
    if (parallel(link, other)) return other;
  }
  return std::nullopt;
}

std::optional<NodeIndex> Network::find_node(const Ipv6Address& address) const {
  const auto found = nodes_.find(address);
  return found == nodes_.end() ? std::nullopt : std::optional(found->second);
}

std::string Network::name_of(const Ipv6Address& address) const {
  const auto node = find_node(address);
  return node ? topology().at(*node).name : to_string(IpAddress{.bytes = address, .family = Family::ipv6});
}

std::string Network::name_of(const LinkId& link) const {
  const auto found = edges_.find(link);
  return found == edges_.end() ? "unknown" : topology().at(found->second).name;
}

std::vector<PathNode> Network::wire_path(NodeIndex from, const Path& path) const {
  std::vector<PathNode> nodes{{.address = address_of(from), .link = {}}};
  for (const Hop& hop : path) {
    nodes.push_back({.address = address_of(hop.node), .link = link_id(topology().at(hop.link).name)});
  }
  return nodes;
}

std::vector<std::string> Network::node_names(const std::vector<PathNode>& path) const {
  std::vector<std::string> names;
  for (const PathNode& node : path) names.push_back(name_of(node.address));
  return names;
}

std::vector<std::string> Network::link_names(const std::vector<PathNode>& path) const {
  std::vector<std::string> names;
  for (size_t i = 1; i < path.size(); ++i) names.push_back(name_of(path[i].link));
  return names;
}

}  // namespace sky::controlplane
