#include "controlplane/topology/topology.h"

#include <cassert>
#include <utility>

namespace sky::controlplane {
namespace {

template <typename Index>
std::optional<Index> lookup(const std::map<std::string, Index>& names, const std::string& name) {
  const auto entry = names.find(name);
  return entry == names.end() ? std::nullopt : std::optional(entry->second);
}

/// The next free index, remembered under a name that must be new.
template <typename Index, typename Item>
Index enter(std::map<std::string, Index>& names, const std::vector<Item>& items, const std::string& name) {
  const Index index{static_cast<uint32_t>(items.size())};
  [[maybe_unused]] const bool fresh = names.emplace(name, index).second;
  assert(fresh);
  return index;
}

}  // namespace

DomainIndex Topology::add_domain(std::string name, uint32_t as_number, std::vector<Prefix> prefixes) {
  const auto index = enter(domain_by_name_, domains, name);
  domains.push_back({.name = std::move(name), .as_number = as_number, .prefixes = std::move(prefixes)});
  return index;
}

NodeIndex Topology::add_node(DomainIndex domain, std::string name, const PublicKey& key, Role role) {
  const auto index = enter(node_by_name_, nodes, name);
  nodes.push_back({.name = std::move(name), .domain = domain, .key = key, .role = role});
  at(domain).nodes.push_back(index);
  return index;
}

EdgeIndex Topology::add_link(std::string name, NodeIndex first, NodeIndex second) {
  assert(first != second);
  const auto index = enter(link_by_name_, links, name);
  links.push_back({.name = std::move(name), .ends = {first, second}});
  at(first).links.push_back(index);
  at(second).links.push_back(index);
  return index;
}

RiskIndex Topology::risk(const std::string& name) {
  if (const auto known = lookup(risk_by_name_, name)) return *known;
  const auto index = enter(risk_by_name_, risks, name);
  risks.push_back(name);
  return index;
}

std::optional<DomainIndex> Topology::find_domain(const std::string& name) const {
  return lookup(domain_by_name_, name);
}
std::optional<NodeIndex> Topology::find_node(const std::string& name) const {
  return lookup(node_by_name_, name);
}
std::optional<EdgeIndex> Topology::find_link(const std::string& name) const {
  return lookup(link_by_name_, name);
}

std::span<const Prefix> Topology::prefixes_of(NodeIndex node) const {
  const TopologyNode& server = at(node);
  if (server.own_prefixes) return *server.own_prefixes;
  if (server.role == Role::router) return at(server.domain).prefixes;
  return {};
}

NodeIndex Topology::other_end(EdgeIndex link, NodeIndex node) const {
  const auto& ends = at(link).ends;
  return ends[0] == node ? ends[1] : ends[0];
}

bool Topology::is_border(EdgeIndex link) const {
  const auto& ends = at(link).ends;
  return at(ends[0]).domain != at(ends[1]).domain;
}

}  // namespace sky::controlplane
