// The answer by trying everything: all simple paths, all sets of k of them. For graphs of a dozen
// links.
#pragma once

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "controlplane/paths/paths.h"

namespace sky::controlplane::test {

inline void extend(const Graph& graph, NodeIndex to, NodeIndex at, Path& path, std::vector<bool>& seen,
                   std::vector<Path>& all) {
  if (at == to) {
    all.push_back(path);
    return;
  }
  if (!path.empty() && !graph.nodes[std::to_underlying(at)].transit) return;
  for (uint32_t i = 0; i < graph.links.size(); ++i) {
    const auto& link = graph.links[i];
    if (!link.usable || (link.a != at && link.b != at)) continue;
    const NodeIndex next = link.a == at ? link.b : link.a;
    if (seen[std::to_underlying(next)]) continue;
    seen[std::to_underlying(next)] = true;
    path.push_back({EdgeIndex{i}, next});
    extend(graph, to, next, path, seen, all);
    path.pop_back();
    seen[std::to_underlying(next)] = false;
  }
}

inline std::vector<Path> all_simple_paths(const Graph& graph, NodeIndex from, NodeIndex to) {
  std::vector<Path> all;
  std::vector<bool> seen(graph.nodes.size());
  seen[std::to_underlying(from)] = true;
  Path path;
  extend(graph, to, from, path, seen, all);
  return all;
}

inline void choose(const Graph& graph, const std::vector<Path>& all, size_t first, unsigned k,
                   std::vector<Path>& chosen, std::optional<PathCost>& least) {
  if (k == 0) {
    const PathCost cost = cost_of(graph, chosen);
    if (!least || cost < *least) least = cost;
    return;
  }
  for (size_t i = first; i + k <= all.size(); ++i) {
    chosen.push_back(all[i]);
    choose(graph, all, i + 1, k - 1, chosen, least);
    chosen.pop_back();
  }
}

/// The least cost of `k` different paths, of all there are when they are fewer.
inline PathCost least_cost(const Graph& graph, const std::vector<Path>& all, unsigned k) {
  std::optional<PathCost> least;
  std::vector<Path> chosen;
  choose(graph, all, 0, std::min<unsigned>(k, all.size()), chosen, least);
  return least.value_or(PathCost{});
}

}  // namespace sky::controlplane::test
