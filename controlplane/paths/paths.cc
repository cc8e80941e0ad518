#include "controlplane/paths/paths.h"

#include <algorithm>
#include <compare>
#include <map>
#include <set>
#include <tuple>
#include <utility>

#include "controlplane/paths/flow.h"
#include "controlplane/topology/topology.h"

namespace sky::controlplane {
namespace {

uint64_t delay_of(const Graph& graph, const Path& path) {
  uint64_t delay_ns = 0;
  for (const Hop& hop : path) delay_ns += graph.links[std::to_underlying(hop.link)].delay_ns;
  return delay_ns;
}

std::set<RiskIndex> risks_of(const Graph& graph, const Path& path) {
  std::set<RiskIndex> risks;
  for (const Hop& hop : path) {
    const auto& groups = graph.links[std::to_underlying(hop.link)].risks;
    risks.insert(groups.begin(), groups.end());
  }
  return risks;
}

/// Also what no set of paths with these links at hand can undercut: the flow is optimal but for
/// risk groups.
PathCost cost_without_risks(const Graph& graph, const std::vector<Path>& paths) {
  PathCost cost;
  std::set<EdgeIndex> links;
  std::set<NodeIndex> nodes;
  for (const Path& path : paths) {
    cost.hops += path.size();
    cost.delay_ns += delay_of(graph, path);
    for (const Hop& hop : path) cost.overlap += !links.insert(hop.link).second;
    for (size_t i = 0; i + 1 < path.size(); ++i) cost.overlap += !nodes.insert(path[i].node).second;
  }
  return cost;
}

void put_in_order(const Graph& graph, std::vector<Path>& paths) {
  const auto rank = [&](const Path& path) {
    std::vector<uint32_t> links;
    for (const Hop& hop : path) links.push_back(std::to_underlying(hop.link));
    return std::tuple(path.size(), delay_of(graph, path), links);
  };
  std::ranges::sort(paths, {}, rank);
  const auto doubles = std::ranges::unique(paths);
  paths.erase(doubles.begin(), doubles.end());
}

/// Two different links of one risk group on two of the paths, as (link, link); none: nothing to
/// branch on.
std::vector<EdgeIndex> risk_conflict(const Graph& graph, const std::vector<Path>& paths) {
  std::map<RiskIndex, std::pair<size_t, EdgeIndex>> first_use;
  for (size_t i = 0; i < paths.size(); ++i) {
    for (const Hop& hop : paths[i]) {
      for (const RiskIndex risk : graph.links[std::to_underlying(hop.link)].risks) {
        const auto [use, is_first] = first_use.try_emplace(risk, i, hop.link);
        const auto& [path, link] = use->second;
        if (!is_first && path != i && link != hop.link) return {link, hop.link};
      }
    }
  }
  return {};
}

/// What is found when some links are avoided.
struct Trial {
  std::set<EdgeIndex> avoided;
  std::vector<Path> paths;
  PathCost bound;  ///< without risks
  PathCost cost;
};

}  // namespace

PathCost cost_of(const Graph& graph, const std::vector<Path>& paths) {
  PathCost cost = cost_without_risks(graph, paths);
  std::set<RiskIndex> used;
  for (const Path& path : paths) {
    for (const RiskIndex risk : risks_of(graph, path)) cost.overlap += !used.insert(risk).second;
  }
  return cost;
}

Graph graph_of(const Topology& topology) {
  Graph graph;
  for (const TopologyNode& node : topology.nodes) graph.nodes.push_back({node.role == Role::router});
  for (const TopologyLink& link : topology.links) {
    graph.links.push_back({link.ends[0], link.ends[1], link.delay_ns, link.risks});
  }
  return graph;
}

DisjointPaths::DisjointPaths(Graph graph) : graph_(std::move(graph)), neighbours_(graph_.nodes.size()) {
  for (uint32_t i = 0; i < graph_.links.size(); ++i) {
    const auto& link = graph_.links[i];
    const auto a = std::to_underlying(link.a), b = std::to_underlying(link.b);
    if (a == b || std::max(a, b) >= graph_.nodes.size()) continue;
    neighbours_[a].push_back({EdgeIndex{i}, link.b});
    neighbours_[b].push_back({EdgeIndex{i}, link.a});
  }
}

void DisjointPaths::set_usable(EdgeIndex link, bool usable) {
  if (std::to_underlying(link) < graph_.links.size()) {
    graph_.links[std::to_underlying(link)].usable = usable;
  }
}

std::vector<Path> DisjointPaths::paths(NodeIndex from, NodeIndex to, unsigned k) {
  if (from == to || std::max(std::to_underlying(from), std::to_underlying(to)) >= graph_.nodes.size()) {
    return {};
  }
  k = std::min(k, kMostPaths);
  const auto attempt = [&](std::set<EdgeIndex> avoided) {
    std::vector<bool> avoid(graph_.links.size());
    for (size_t i = 0; i < avoid.size(); ++i) avoid[i] = !graph_.links[i].usable;
    for (const EdgeIndex link : avoided) avoid[std::to_underlying(link)] = true;
    auto found = least_overlap(graph_, neighbours_, from, to, k, avoid);
    const PathCost bound = cost_without_risks(graph_, found), cost = cost_of(graph_, found);
    return Trial{std::move(avoided), std::move(found), bound, cost};
  };

  // Branch and bound: of two links of one group on two paths, one or the other has to go.
  std::multimap<PathCost, Trial> open;
  std::set<std::set<EdgeIndex>> tried;
  Trial best = attempt({});
  open.emplace(best.bound, best);
  for (unsigned trials = 1; !open.empty() && open.begin()->first < best.cost;) {
    const Trial trial = std::move(open.extract(open.begin()).mapped());
    for (const EdgeIndex link : risk_conflict(graph_, trial.paths)) {
      std::set<EdgeIndex> avoided = trial.avoided;
      avoided.insert(link);
      if (trials == kMostTrials || !tried.insert(avoided).second) continue;
      ++trials;
      Trial next = attempt(std::move(avoided));
      if (next.paths.empty()) continue;
      if (next.cost < best.cost) best = next;
      open.emplace(next.bound, std::move(next));
    }
  }
  put_in_order(graph_, best.paths);
  return std::move(best.paths);
}

}  // namespace sky::controlplane
