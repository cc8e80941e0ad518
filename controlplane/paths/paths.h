// Where paths come from: an interface, and the one that computes maximally disjoint paths over a
// graph.
//
// A path runs over links and nodes of a topology, each named by its index there. Two paths overlap
// by every link, every node between the ends and every shared-risk group that both use. Asked for k
// paths, DisjointPaths gives the set of least overlap, of these the one with the fewest hops in
// sum, of these the one with the least delay: where fully disjoint paths exist they are what comes
// out, where they do not, what is shared is as little as can be. Exact for links and nodes
// (min-cost flow on the split graph, Suurballe and Bhandari generalised); shared-risk groups make
// the problem NP-hard and are weighed by a bounded search (docs/architecture.md, "Paths").
// Deterministic: the same graph and question give the same answer in every run. Cost: k shortest-path
// searches over the split graph, up to kMostTrials times that where shared risks are in the way; memory
// linear in the graph.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "controlplane/topology/indices.h"

namespace sky::controlplane {

/// One step: over `link` to `node`.
struct Hop {
  EdgeIndex link;
  NodeIndex node;
  bool operator==(const Hop&) const = default;
};

/// From the asking node, which is not named, to the last hop's node. Simple: no node twice.
using Path = std::vector<Hop>;

class PathSource {
 public:
  virtual ~PathSource() = default;

  /// Up to `k` different paths, by hops, then delay, then link indices; empty when there is none,
  /// when `from` is `to` or when one of them is unknown. `k` above kMostPaths counts as kMostPaths.
  virtual std::vector<Path> paths(NodeIndex from, NodeIndex to, unsigned k) = 0;
};

inline constexpr unsigned kMostPaths = 8;

/// What paths are computed on: links are usable both ways.
struct Graph {
  struct Node {
    bool transit = true;  ///< false: a host, only ever an end of a path
  };
  struct Link {
    NodeIndex a;
    NodeIndex b;
    uint64_t delay_ns = 0;
    std::vector<RiskIndex> risks;
    bool usable = true;  ///< false: left out, as a link that is known to be down
  };
  std::vector<Node> nodes;
  std::vector<Link> links;
};

struct Topology;
Graph graph_of(const Topology& topology);

/// What a set of paths is judged by; less is better, in this order.
struct PathCost {
  uint64_t overlap = 0;  ///< uses of a link, a node between the ends or a risk group beyond its first path
  uint64_t hops = 0;
  uint64_t delay_ns = 0;
  auto operator<=>(const PathCost&) const = default;
};
PathCost cost_of(const Graph& graph, const std::vector<Path>& paths);

class DisjointPaths : public PathSource {
 public:
  static constexpr unsigned kMostTrials = 64;

  explicit DisjointPaths(Graph graph);

  std::vector<Path> paths(NodeIndex from, NodeIndex to, unsigned k) override;

  /// For links that go and come; paths asked for later heed it.
  void set_usable(EdgeIndex link, bool usable);

 private:
  Graph graph_;
  std::vector<std::vector<Hop>> neighbours_;  ///< of each node, in the order of links
};

}  // namespace sky::controlplane
