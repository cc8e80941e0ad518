#include "tests/fuzz/neighbourhood.h"

#include <stdexcept>

namespace sky::fuzz {

using namespace controlplane;

namespace {

constexpr uint64_t kBootId = 0xb007;
constexpr uint64_t kPatience_ns = 10 * sim::kS;

/// As the simulation has them.
std::array<uint8_t, 32> seed_of(const std::string& node) {
  std::array<uint8_t, 32> seed{};
  std::ranges::copy(node, seed.begin());
  return seed;
}

std::vector<std::string> peers_of(const Topology& topology, const std::string& name) {
  const NodeIndex self = *topology.find_node(name);
  std::vector<std::string> peers;
  for (const EdgeIndex edge : topology.at(self).links)
    peers.push_back(topology.at(topology.other_end(edge, self)).name);
  return peers;
}

}  // namespace

Neighbourhood::Neighbourhood()
    : topology_(sim::four_domains()),
      paths_{{"a1", "g1", "d1"}, {"d1", "g1", "a1"}, {"a1", "b1", "b2", "d1"}, {"d1", "b2", "b1", "a1"},
             {"g1", "d1"},       {"d1", "g1"},       {"b1", "a1", "g1"},       {"g1", "a1", "b1", "b2"}} {
  for (TopologyNode& node : topology_.nodes) node.key = identity(node.name).key;
  source_ = std::make_shared<StaticTopology>(topology_);
  disjoint_ = std::make_shared<DisjointPaths>(graph_of(topology_));

  sim::Simulation sim(sim::four_domains(), 1);
  sim.start_all();
  bool works = sim.run_until([&] { return sim.links_up(); }, kPatience_ns);
  for (const auto& [from, to] : {std::pair{"a1", "d1"}, std::pair{"d1", "a1"}}) {
    sim.send(from, to);
    works = works && sim.run_until([&] { return sim.live_members(from, to).size() == 2; }, kPatience_ns);
  }
  if (!works) throw std::runtime_error("the simulated network does not come up");
  names_ = sim.nodes();
  now_ns_ = sim.now_ns();
  for (const std::string name : {"d1", "g1", "a1"}) {
    places_.push_back({.name = name,
                       .config = sim.config(name),
                       .rows = sim.dataplane(name).attach(1).rows,
                       .peers = peers_of(topology_, name)});
  }
}

Identity Neighbourhood::identity(const std::string& node) const {
  return Identity::from_seed(seed_of(node));
}

Core Neighbourhood::core(const Place& place, Random& random) const {
  auto core = Core::create({.config = place.config,
                            .identity = identity(place.name),
                            .pre_shared = {},
                            .topology = source_,
                            .paths = disjoint_},
                           random, now_ns_);
  if (!core) throw std::runtime_error(core.error().message);
  return std::move(*core);
}

sim::Dataplane Neighbourhood::dataplane(const Place& place) const {
  const SizesConfig& sizes = place.config.dataplane.sizes;
  sim::Dataplane dataplane(
      {.ports = static_cast<uint32_t>(place.config.ports.size()),
       .links = sizes.links,
       .sessions = sizes.sessions,
       .rules = sizes.rules,
       .groups = sizes.groups,
       .destinations = sizes.prefixes},
      kBootId, {2, 0, 0, 0, 0, 1}, [](PortIndex, const sim::Frame&) {}, [](const Event&) {});
  const Acked acked = dataplane.install({.generation = 0, .messages = place.rows}, now_ns_);
  if (acked.error != InstallError::none) throw std::runtime_error("what stood does not stand again");
  return dataplane;
}

LinkId Neighbourhood::link_between(const std::string& one, const std::string& other) const {
  for (const TopologyLink& link : topology_.links) {
    const std::string& first = topology_.at(link.ends[0]).name;
    const std::string& second = topology_.at(link.ends[1]).name;
    if ((first == one && second == other) || (first == other && second == one)) return link_id(link.name);
  }
  return link_id("none");
}

}  // namespace sky::fuzz
