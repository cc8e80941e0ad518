#include "controlplane/paths/paths.h"

#include <gtest/gtest.h>

#include <random>
#include <set>

#include "tests/unit/paths/oracle.h"

namespace sky::controlplane {
namespace {

Graph::Link link(uint32_t a, uint32_t b, uint64_t delay_ns = 1, std::vector<RiskIndex> risks = {}) {
  return {NodeIndex{a}, NodeIndex{b}, delay_ns, std::move(risks)};
}

Graph make_graph(size_t nodes, std::vector<Graph::Link> links) {
  Graph graph;
  graph.nodes.resize(nodes);
  graph.links = std::move(links);
  return graph;
}

std::vector<std::vector<uint32_t>> links_of(const std::vector<Path>& paths) {
  std::vector<std::vector<uint32_t>> all;
  for (const Path& path : paths) {
    all.emplace_back();
    for (const Hop& hop : path) all.back().push_back(std::to_underlying(hop.link));
  }
  return all;
}

std::vector<std::vector<uint32_t>> paths_in(const Graph& graph, uint32_t from, uint32_t to, unsigned k = 2) {
  return links_of(DisjointPaths(graph).paths(NodeIndex{from}, NodeIndex{to}, k));
}

using Links = std::vector<std::vector<uint32_t>>;

TEST(DisjointPaths, FourDomainsGiveTheTwoWaysShortFirst) {
  // a1 - g1 - d1 and a1 - b1 - b2 - d1
  const Graph graph = make_graph(5, {link(0, 1), link(1, 2), link(2, 4), link(0, 3), link(3, 4)});
  EXPECT_EQ(paths_in(graph, 0, 4), (Links{{3, 4}, {0, 1, 2}}));
  EXPECT_EQ(paths_in(graph, 4, 0), (Links{{4, 3}, {2, 1, 0}}));
}

TEST(DisjointPaths, AShortestPathInTheWayIsGivenUp) {
  // The trap: the shortest path 0 1 2 5 leaves no second one.
  const Graph graph =
      make_graph(6, {link(0, 1), link(1, 2), link(2, 5), link(0, 3), link(3, 2), link(1, 4), link(4, 5)});
  EXPECT_EQ(paths_in(graph, 0, 5, 1), (Links{{0, 1, 2}}));
  EXPECT_EQ(paths_in(graph, 0, 5), (Links{{0, 5, 6}, {3, 4, 2}}));
}

TEST(DisjointPaths, OrderIsHopsThenDelay) {
  const Graph graph =
      make_graph(5, {link(0, 1, 9), link(1, 4, 9), link(0, 2, 5), link(2, 4, 5), link(0, 3, 1), link(3, 4, 1)});
  EXPECT_EQ(paths_in(graph, 0, 4, 3), (Links{{4, 5}, {2, 3}, {0, 1}}));
  EXPECT_EQ(paths_in(graph, 0, 4, 2), (Links{{4, 5}, {2, 3}}));
}

TEST(DisjointPaths, SharesABridgeAndNoMore) {
  // Two ways to 2, then one link to 3.
  const Graph graph = make_graph(4, {link(0, 1), link(1, 2), link(0, 2), link(2, 3)});
  const auto paths = DisjointPaths(graph).paths(NodeIndex{0}, NodeIndex{3}, 2);
  EXPECT_EQ(links_of(paths), (Links{{2, 3}, {0, 1, 3}}));
  EXPECT_EQ(cost_of(graph, paths).overlap, 2u);  // node 2 and link 3
}

TEST(DisjointPaths, ParallelLinksAreTwoPaths) {
  EXPECT_EQ(paths_in(make_graph(2, {link(0, 1, 7), link(1, 0, 3)}), 0, 1), (Links{{1}, {0}}));
}

TEST(DisjointPaths, SharedRisksAreAvoided) {
  // The two shortest lie in one duct.
  const Graph graph = make_graph(6, {link(0, 1, 1, {RiskIndex{7}}), link(1, 5), link(0, 2, 2, {RiskIndex{7}}),
                                     link(2, 5), link(0, 3), link(3, 4), link(4, 5)});
  EXPECT_EQ(paths_in(graph, 0, 5), (Links{{0, 1}, {4, 5, 6}}));
}

TEST(DisjointPaths, OneWayIsGivenOnce) {
  EXPECT_EQ(paths_in(make_graph(3, {link(0, 1), link(1, 2)}), 0, 2, 8), (Links{{0, 1}}));
}

TEST(DisjointPaths, HostsDoNotTransit) {
  Graph graph = make_graph(4, {link(0, 1), link(1, 2), link(0, 3), link(3, 2)});
  graph.nodes[1].transit = false;
  EXPECT_EQ(paths_in(graph, 0, 2), (Links{{2, 3}}));
  EXPECT_EQ(paths_in(graph, 1, 3), (Links{{0, 2}, {1, 3}}));
}

TEST(DisjointPaths, UnusableLinksAreLeftOutAndComeBack) {
  DisjointPaths source(make_graph(3, {link(0, 1), link(1, 2), link(0, 2)}));
  source.set_usable(EdgeIndex{2}, false);
  EXPECT_EQ(links_of(source.paths(NodeIndex{0}, NodeIndex{2}, 2)), (Links{{0, 1}}));
  source.set_usable(EdgeIndex{2}, true);
  EXPECT_EQ(links_of(source.paths(NodeIndex{0}, NodeIndex{2}, 2)), (Links{{2}, {0, 1}}));
}

TEST(DisjointPaths, QuestionsWithoutAnAnswer) {
  const Graph graph = make_graph(4, {link(0, 1), link(2, 2), link(2, 9)});
  EXPECT_EQ(paths_in(graph, 0, 0), Links{});
  EXPECT_EQ(paths_in(graph, 0, 3), Links{});
  EXPECT_EQ(paths_in(graph, 0, 4), Links{});
  EXPECT_EQ(paths_in(graph, 4, 0), Links{});
  EXPECT_EQ(paths_in(graph, 0, 1, 0), Links{});
  EXPECT_EQ(paths_in(Graph{}, 0, 1), Links{});
}

Graph random_graph(std::mt19937& random, bool with_risks) {
  Graph graph = make_graph(4 + random() % 4, {});
  for (auto& node : graph.nodes) node.transit = random() % 8 != 0;
  for (size_t left = graph.nodes.size() + random() % 5; left > 0; --left) {
    auto next = link(random() % graph.nodes.size(), random() % graph.nodes.size(), random() % 5);
    next.usable = random() % 16 != 0;
    if (with_risks && random() % 2) next.risks.push_back(RiskIndex(random() % 4));
    graph.links.push_back(next);
  }
  return graph;
}

bool is_simple_path(const Graph& graph, const Path& path, NodeIndex at, NodeIndex to) {
  std::set<NodeIndex> seen{at};
  for (const Hop& hop : path) {
    const auto& edge = graph.links[std::to_underlying(hop.link)];
    const bool joined = (edge.a == at && edge.b == hop.node) || (edge.b == at && edge.a == hop.node);
    const bool may_pass = hop.node == to || graph.nodes[std::to_underlying(hop.node)].transit;
    if (!joined || !edge.usable || !may_pass || !seen.insert(hop.node).second) return false;
    at = hop.node;
  }
  return at == to;
}

struct Agreement {
  int asked = 0;
  int dearer = 0;  ///< a better set of paths exists
  int fewer = 0;   ///< less paths than there are
};

Agreement compare_with_oracle(unsigned k, bool with_risks) {
  std::mt19937 random(k);
  Agreement agreement;
  for (int round = 0; round < 4000; ++round) {
    const Graph graph = random_graph(random, with_risks);
    const auto all = test::all_simple_paths(graph, NodeIndex{0}, NodeIndex{1});
    const auto paths = DisjointPaths(graph).paths(NodeIndex{0}, NodeIndex{1}, k);
    if (all.size() > 40) continue;
    ++agreement.asked;
    for (const Path& path : paths) {
      EXPECT_TRUE(is_simple_path(graph, path, NodeIndex{0}, NodeIndex{1}));
    }
    const Links links = links_of(paths);
    EXPECT_EQ(std::set(links.begin(), links.end()).size(), links.size());
    EXPECT_EQ(paths.empty(), all.empty());
    if (paths.size() < std::min<size_t>(k, all.size())) {
      ++agreement.fewer;
    } else {
      const PathCost least = test::least_cost(graph, all, k);
      EXPECT_LE(least, cost_of(graph, paths));
      agreement.dearer += least < cost_of(graph, paths);
    }
  }
  EXPECT_GT(agreement.asked, 3000);
  return agreement;
}

TEST(DisjointPathsOracle, OneAndTwoAreExact) {
  for (const unsigned k : {1u, 2u}) {
    const auto agreement = compare_with_oracle(k, false);
    EXPECT_EQ(agreement.dearer, 0);
    EXPECT_EQ(agreement.fewer, 0);
  }
}

TEST(DisjointPathsOracle, MoreAreExactWhereGiven) {
  for (const unsigned k : {3u, 4u}) EXPECT_EQ(compare_with_oracle(k, false).dearer, 0);
}

TEST(DisjointPathsOracle, SharedRisksAreRarelyWorse) {
  const auto agreement = compare_with_oracle(2, true);
  EXPECT_LE(agreement.dearer, agreement.asked / 100);
  EXPECT_EQ(agreement.fewer, 0);
}

}  // namespace
}  // namespace sky::controlplane
