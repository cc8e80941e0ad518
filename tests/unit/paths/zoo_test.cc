// The 260 networks of the Topology Zoo (data set beside the source tree; skipped when it is not
// there), with block decomposition (Boost) as the judge of where two disjoint paths exist.
#include <gtest/gtest.h>

#include <boost/graph/adjacency_list.hpp>
#include <boost/graph/biconnected_components.hpp>
#include <cstdio>
#include <filesystem>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <sstream>
#include <string>

#include "controlplane/paths/paths.h"

namespace sky::controlplane {
namespace {

const std::string kArchive = SKY_SOURCE_ROOT "/../shared/data/topo/repetita-zoo-inverseCapacity-graphs.tar.xz";

/// "NODES n", a heading, n lines; "EDGES m", a heading, m lines "name from to weight capacity
/// delay", both directions.
std::vector<Graph> read_networks(std::istream& in) {
  std::vector<Graph> networks;
  std::string word, line;
  while (in >> word) {
    size_t count = 0;
    in >> count;
    std::getline(in, line);
    std::getline(in, line);
    if (word == "NODES") networks.emplace_back().nodes.resize(count);
    while (count-- > 0 && std::getline(in, line)) {
      if (word != "EDGES") continue;
      std::istringstream fields(line);
      std::string name;
      uint32_t from = 0, to = 0;
      uint64_t weight = 0, capacity = 0, delay_us = 0;
      fields >> name >> from >> to >> weight >> capacity >> delay_us;
      if (from < to) networks.back().links.push_back({NodeIndex{from}, NodeIndex{to}, delay_us * 1000, {}});
    }
  }
  return networks;
}

/// Whether two paths without a common link or node between the ends exist, for any two nodes.
class Judge {
 public:
  explicit Judge(const Graph& graph) : blocks_(graph.nodes.size()) {
    using Edge = boost::property<boost::edge_index_t, size_t>;
    using Simple = boost::adjacency_list<boost::vecS, boost::vecS, boost::undirectedS, boost::no_property, Edge>;
    for (const auto& link : graph.links) ++links_between_[std::minmax(node(link.a), node(link.b))];
    Simple copy(graph.nodes.size());
    for (const auto& [ends, links] : links_between_) {
      boost::add_edge(ends.first, ends.second, Edge(boost::num_edges(copy)), copy);
    }
    std::vector<size_t> block(boost::num_edges(copy));
    const auto index = boost::get(boost::edge_index, copy);
    boost::biconnected_components(copy, boost::make_iterator_property_map(block.begin(), index));
    std::map<size_t, size_t> edges_in;
    for (const size_t number : block) ++edges_in[number];
    for (const auto edge : boost::make_iterator_range(boost::edges(copy))) {
      const size_t number = block[index[edge]];
      if (edges_in[number] < 2) continue;
      blocks_[boost::source(edge, copy)].insert(number);
      blocks_[boost::target(edge, copy)].insert(number);
    }
  }

  bool two_disjoint(uint32_t from, uint32_t to) const {
    const auto beside = links_between_.find(std::minmax(from, to));
    if (beside != links_between_.end() && beside->second > 1) return true;
    return std::ranges::any_of(blocks_[from], [&](size_t number) { return blocks_[to].contains(number); });
  }

 private:
  static uint32_t node(NodeIndex index) { return std::to_underlying(index); }

  std::map<std::pair<uint32_t, uint32_t>, int> links_between_;
  std::vector<std::set<size_t>> blocks_;  ///< of two edges or more, by node
};

TEST(TopologyZoo, TwoPathsAreDisjointWhereTwoDisjointPathsExist) {
  if (!std::filesystem::exists(kArchive)) GTEST_SKIP() << "no topology data at " << kArchive;
  const std::unique_ptr<FILE, int (*)(FILE*)> tar(popen(("tar xJOf " + kArchive).c_str(), "r"), pclose);
  std::string text(16 << 20, 0);
  text.resize(fread(text.data(), 1, text.size(), tar.get()));
  std::istringstream in(text);
  const auto networks = read_networks(in);
  ASSERT_EQ(networks.size(), 260u);

  std::mt19937 random(1);
  int disjoint = 0, sharing = 0;
  for (const Graph& graph : networks) {
    DisjointPaths source(graph);
    const Judge judge(graph);
    for (int pair = 0; pair < 20; ++pair) {
      const uint32_t from = random() % graph.nodes.size(), to = random() % graph.nodes.size();
      if (from == to) continue;
      const auto paths = source.paths(NodeIndex{from}, NodeIndex{to}, 2);
      ASSERT_FALSE(paths.empty());
      const bool found = paths.size() == 2 && cost_of(graph, paths).overlap == 0;
      ASSERT_EQ(found, judge.two_disjoint(from, to));
      ++(found ? disjoint : sharing);
    }
  }
  EXPECT_GT(disjoint, 1000);
  EXPECT_GT(sharing, 500);
}

}  // namespace
}  // namespace sky::controlplane
