// The topology as this node sees it: which of its links is which, and nodes and links by what stands for them on the
// wire. Everything a message names is looked up here; what is not found is not believed. Made anew when the source has
// another version; a node's own links keep their names, positions and peers for the life of the core.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "controlplane/core/sources.h"
#include "controlplane/paths/paths.h"
#include "controlplane/signalling/messages.h"
#include "dataplane/base/config.h"

namespace sky::controlplane {

/// A link of this node, at its position in router.yaml.
struct OwnLink {
  std::string name;
  LinkId id{};
  Ipv6Address peer{};
  std::string peer_name;
  PublicKey peer_key{};
  uint32_t realtime_kbit_s = 0;  ///< budget of what comes by it for realtime queues
};

class Network {
 public:
  /// Fails when the topology does not know the node or one of its links.
  static Result<Network> create(std::shared_ptr<TopologySource> source, const RouterConfig& config);

  /// True when the source has another version, which is taken over.
  bool refresh();

  const Topology& topology() const { return source_->topology(); }
  uint64_t version() const { return version_; }
  NodeIndex self() const { return self_; }
  const Ipv6Address& address() const { return address_of(self_); }

  const std::vector<OwnLink>& links() const { return links_; }
  const OwnLink& link(LinkIndex index) const { return links_[to_underlying(index)]; }
  bool has_link(LinkIndex index) const { return to_underlying(index) < links_.size(); }
  std::optional<LinkIndex> own_link(const LinkId& id) const;
  bool parallel(LinkIndex one, LinkIndex other) const { return one != other && link(one).peer == link(other).peer; }
  /// Another link to the same neighbour: the next one in order.
  std::optional<LinkIndex> parallel_to(LinkIndex link) const;

  std::optional<NodeIndex> find_node(const Ipv6Address& address) const;
  const Ipv6Address& address_of(NodeIndex node) const { return addresses_[to_underlying(node)]; }
  const TopologyDomain& domain_of(NodeIndex node) const { return topology().at(topology().at(node).domain); }
  /// A name for people; the address where the topology has none.
  std::string name_of(const Ipv6Address& address) const;
  std::string name_of(const LinkId& link) const;

  /// As SETUP carries it, `from` first.
  std::vector<PathNode> wire_path(NodeIndex from, const Path& path) const;
  std::vector<PathNode> wire_path(const Path& path) const { return wire_path(self_, path); }
  std::vector<std::string> node_names(const std::vector<PathNode>& path) const;
  std::vector<std::string> link_names(const std::vector<PathNode>& path) const;

 private:
  void index();

  std::shared_ptr<TopologySource> source_;
  uint64_t version_ = 0;
  std::string self_name_;
  NodeIndex self_{};
  std::vector<OwnLink> links_;
  std::map<LinkId, LinkIndex> own_links_;
  std::vector<Ipv6Address> addresses_;  ///< by NodeIndex
  std::map<Ipv6Address, NodeIndex> nodes_;
  std::map<LinkId, EdgeIndex> edges_;
};

}  // namespace sky::controlplane
