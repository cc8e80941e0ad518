// The destination map: which group each prefix and Skywire address goes to. Every other node's Skywire address and
// addresses go to that node's group; a domain's prefix to the nearest node that serves it and can be reached; what this
// node serves itself is delivered here. Source: docs/protocol.md, "Destinations".
#pragma once

#include <map>
#include <vector>

#include "controlplane/core/groups.h"
#include "dataplane/base/address.h"

namespace sky::controlplane {

class Destinations {
 public:
  /// All outlive it.
  Destinations(Context& context, const Groups& groups) : context_(context), groups_(groups) {}

  /// After another topology: who serves what, and how far away they are.
  void rebuild();
  /// After a group became unreachable or reachable again.
  void choose();
  std::vector<DestinationSnapshot> snapshot() const;

 private:
  void add(const Prefix& prefix, NodeIndex node);
  NodeIndex best(const std::vector<NodeIndex>& servers) const;

  Context& context_;
  const Groups& groups_;
  std::map<Prefix, std::vector<NodeIndex>> servers_;  ///< nearest first
  std::vector<size_t> distance_;                      ///< hops, by NodeIndex
  std::map<Prefix, NodeIndex> chosen_;
};

}  // namespace sky::controlplane
