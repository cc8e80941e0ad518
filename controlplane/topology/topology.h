// The network as the control plane knows it: domains, their nodes, the links between nodes. Plain
// data in vectors with indices, for path computation; read from topology.yaml (reader.h) or built
// in code by any other source. After add_*: indices are positions and never change; names are
// unique (asserted, a reader checks them first). Cost: amortised O(1) an addition, one hash lookup
// a name. Source: docs/operations.md, "topology.yaml".
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "controlplane/topology/indices.h"
#include "dataplane/base/address.h"
#include "dataplane/base/config_error.h"
#include "dataplane/base/ids.h"

namespace sky::controlplane {

enum class Role : uint8_t { router, host };

/// What a link's first end is to its second, as between autonomous systems; inside a domain always
/// peer.
enum class Relation : uint8_t { peer, provider, customer };

struct TopologyDomain {
  std::string name;
  uint32_t as_number = 0;
  std::vector<Prefix> prefixes;
  std::vector<NodeIndex> nodes{};
  Mark mark{};
};

struct TopologyNode {
  std::string name;
  DomainIndex domain{};
  PublicKey key{};  ///< all zero in a template that has no keys yet
  Role role = Role::router;
  std::optional<std::vector<Prefix>> own_prefixes{};  ///< absent: see Topology::prefixes_of
  std::vector<IpAddress> addresses{};
  std::vector<EdgeIndex> links{};
  Mark mark{};
};

struct TopologyLink {
  std::string name;
  std::array<NodeIndex, 2> ends{};
  uint64_t delay_ns = 0;      ///< one way; 0: not told
  uint64_t capacity_bps = 0;  ///< 0: not told
  uint32_t cost = 1;
  std::vector<RiskIndex> risks{};
  Relation relation = Relation::peer;
  Mark mark{};
};

struct Topology {
  std::string file;  ///< where it was read from, empty when built in code
  std::vector<TopologyDomain> domains;
  std::vector<TopologyNode> nodes;
  std::vector<TopologyLink> links;
  std::vector<std::string> risks;

  DomainIndex add_domain(std::string name, uint32_t as_number, std::vector<Prefix> prefixes = {});
  NodeIndex add_node(DomainIndex domain, std::string name, const PublicKey& key = {}, Role role = Role::router);
  EdgeIndex add_link(std::string name, NodeIndex first, NodeIndex second);

  /// The index of a risk group, made when its name is new.
  RiskIndex risk(const std::string& name);

  std::optional<DomainIndex> find_domain(const std::string& name) const;
  std::optional<NodeIndex> find_node(const std::string& name) const;
  std::optional<EdgeIndex> find_link(const std::string& name) const;

  TopologyDomain& at(DomainIndex index) { return domains[to_underlying(index)]; }
  TopologyNode& at(NodeIndex index) { return nodes[to_underlying(index)]; }
  TopologyLink& at(EdgeIndex index) { return links[to_underlying(index)]; }
  const TopologyDomain& at(DomainIndex index) const { return domains[to_underlying(index)]; }
  const TopologyNode& at(NodeIndex index) const { return nodes[to_underlying(index)]; }
  const TopologyLink& at(EdgeIndex index) const { return links[to_underlying(index)]; }

  /// What a node serves: its own prefixes, or its domain's when it is a router that names none.
  std::span<const Prefix> prefixes_of(NodeIndex node) const;

  NodeIndex other_end(EdgeIndex link, NodeIndex node) const;
  bool is_border(EdgeIndex link) const;  ///< its ends are in two domains

 private:
  // Ordered: a file is made by others, and could be made of names that all hash alike.
  std::map<std::string, DomainIndex> domain_by_name_;
  std::map<std::string, NodeIndex> node_by_name_;
  std::map<std::string, EdgeIndex> link_by_name_;
  std::map<std::string, RiskIndex> risk_by_name_;
};

}  // namespace sky::controlplane
