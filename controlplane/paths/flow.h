// k paths of least overlap in links and nodes, as a min-cost flow by successive shortest paths:
// each node is split into an entry and an exit, and the second use of a link or node costs one
// overlap more than the first, so costs are convex and the flow is optimal. Source: Ahuja,
// Magnanti, Orlin, "Network Flows", chapters 9 and 14. On entry: a graph whose links name its
// nodes, `from` and `to` different and within it. After: at most `k` simple paths (equal ones only
// where k different ones of that overlap do not exist), or none. Cost: k label-correcting searches
// over 2 * nodes vertices.
#pragma once

#include <vector>

#include "controlplane/paths/paths.h"

namespace sky::controlplane {

/// `neighbours[node]`: its usable links and where they lead. `avoid[link]`: not to be used.
std::vector<Path> least_overlap(const Graph& graph, const std::vector<std::vector<Hop>>& neighbours, NodeIndex from,
                                NodeIndex to, unsigned k, const std::vector<bool>& avoid);

}  // namespace sky::controlplane
