#include "tests/sim/simulation.h"

#include <algorithm>
#include <cstring>
#include <ranges>
#include <stdexcept>

#include "controlplane/session/identity.h"

namespace sky::sim {
namespace {

using namespace controlplane;

constexpr uint64_t kWireDelay_ns = 1 * kMs;
constexpr uint64_t kRingDelay_ns = 50'000;
constexpr uint64_t kTurn_ns = 10 * kMs;
constexpr unsigned kMostTicksAtOnce = 100;

std::array<uint8_t, 32> seed_of(const std::string& node) {
  std::array<uint8_t, 32> seed{};
  std::ranges::copy(node, seed.begin());
  return seed;
}

RouterConfig default_config(const std::string& node) {
  RouterConfig config;
  config.node.name = node;
  config.dataplane.sizes = {.rules = 1024, .links = 16, .sessions = 64, .groups = 64, .prefixes = 1024};
  return config;
}

bool is_control(const Frame& frame) {
  return frame.handshake || frame.type == PacketType::signal || frame.type == PacketType::handshake;
}

}  // namespace

unsigned Said::deletes() const {
  unsigned sum = 0;
  for (const auto& [verb, count] : installed) sum += verb >= Verb::delete_link ? count : 0;
  return sum;
}

unsigned Said::puts() const {
  unsigned sum = 0;
  for (const auto& [verb, count] : installed) sum += verb < Verb::delete_link ? count : 0;
  return sum;
}

Simulation::Simulation(Topology topology, uint64_t seed, const Configure& configure)
    : topology_(std::move(topology)), random_(seed) {
  for (TopologyNode& node : topology_.nodes) node.key = Identity::from_seed(seed_of(node.name)).key;
  source_ = std::make_shared<StaticTopology>(topology_);
  build(configure);
}

Simulation::~Simulation() = default;

void Simulation::build(const Configure& configure) {
  for (size_t i = 0; i < topology_.nodes.size(); ++i) {
    const TopologyNode& from = topology_.nodes[i];
    Node node{.name = from.name, .config = default_config(from.name), .seed = seed_of(from.name)};
    node.mac = {2, 0, 0, 0, static_cast<uint8_t>(i >> 8), static_cast<uint8_t>(i)};
    for (const EdgeIndex edge : from.links) {
      const PortIndex port{static_cast<uint16_t>(node.wires.size())};
      const TopologyLink& link = topology_.at(edge);
      const TopologyNode& peer = topology_.at(topology_.other_end(edge, NodeIndex{static_cast<uint32_t>(i)}));
      const auto there = std::ranges::find(peer.links, edge) - peer.links.begin();
      node.wires.push_back({link.name, peer.name, PortIndex{static_cast<uint16_t>(there)}});
      node.config.ports.push_back({.name = link.name, .device = "sim", .mark = {}});
      LinkConfig own;
      own.name = link.name;
      own.port = port;
      node.config.links.push_back(own);
    }
    if (configure) configure(from.name, node.config);
    names_.push_back(from.name);
    nodes_.emplace(from.name, std::move(node));
  }
}

void Simulation::make_core(Node& node) {
  node.random = std::make_unique<SeededRandom>(random_.number<uint64_t>());
  auto core = Core::create({.config = node.config,
                            .identity = Identity::from_seed(node.seed),
                            .pre_shared = {},
                            .topology = source_,
                            .paths = std::make_shared<DisjointPaths>(graph_of(topology_))},
                           *node.random, now_ns_);
  if (!core) throw std::runtime_error(core.error().message);
  node.core = std::make_unique<Core>(std::move(*core));
}

void Simulation::make_dataplane(Node& node) {
  const SizesConfig& sizes = node.config.dataplane.sizes;
  node.dataplane = std::make_unique<Dataplane>(
      dataplane::Capacities{.ports = static_cast<uint32_t>(node.config.ports.size()),
                            .links = sizes.links,
                            .sessions = sizes.sessions,
                            .rules = sizes.rules,
                            .groups = sizes.groups,
                            .destinations = sizes.prefixes},
      random_.nonzero<uint64_t>(), node.mac,
      [this, &node](PortIndex port, Frame frame) { transmit(node, port, std::move(frame)); },
      [this, &node](Event event) {
        after(kRingDelay_ns, [this, &node, life = node.life, event = std::move(event)] {
          if (node.core && node.life == life) handle(node, event);
        });
      });
}

void Simulation::attach(Node& node) {
  if (!node.core || !node.dataplane) return;
  ++node.life;
  handle(node, node.dataplane->attach(node.life));
}

void Simulation::detach(Node& node) {
  ++node.life;
  if (node.core) handle(node, Detached{});
}

void Simulation::start_control(const std::string& name) {
  make_core(at(name));
  attach(at(name));
}

void Simulation::kill_control(const std::string& name) {
  at(name).core.reset();
  ++at(name).life;
}

void Simulation::start_dataplane(const std::string& name) {
  make_dataplane(at(name));
  attach(at(name));
}

void Simulation::kill_dataplane(const std::string& name) {
  at(name).dataplane.reset();
  detach(at(name));
}

void Simulation::reattach(const std::string& name) {
  detach(at(name));
  attach(at(name));
}

void Simulation::start(const std::string& name) {
  make_dataplane(at(name));
  start_control(name);
}

void Simulation::start_all() {
  for (const std::string& name : names_) start(name);
}

void Simulation::after(uint64_t delay_ns, Work work) {
  work_.emplace(now_ns_ + delay_ns, std::move(work));
}

void Simulation::handle(Node& node, const Event& event) {
  for (Action& action : node.core->handle(event, now_ns_)) carry_out(node, action);
  arm(node);
}

void Simulation::arm(Node& node) {
  const TimeNs next = node.core->next_deadline();
  if (next == kNever) return;
  work_.emplace(std::max(next, now_ns_), [this, &node, core = node.core.get()] {
    if (node.core.get() != core || core->next_deadline() > now_ns_) return;
    node.ticks_now = node.ticked_ns == now_ns_ ? node.ticks_now + 1 : 0;
    node.ticked_ns = now_ns_;
    if (node.ticks_now > kMostTicksAtOnce) throw std::logic_error(node.name + ": its deadline does not move on");
    handle(node, Tick{});
  });
}

void Simulation::carry_out(Node& node, Action& action) {
  if (auto* send = std::get_if<Send>(&action)) {
    const PacketType type{send->packet.type};
    if (type == PacketType::signal) ++node.said.signals[send->packet.payload[0]];
    if (type == PacketType::handshake) ++node.said.handshakes;
    if (node.dataplane) node.dataplane->send(send->packet);
  } else if (auto* install = std::get_if<Install>(&action)) {
    for (const InstallMessage& message : install->messages) ++node.said.installed[message.verb];
    after(kRingDelay_ns, [this, &node, life = node.life, batch = std::move(*install)] {
      if (!node.dataplane || node.life != life) return;
      const Acked ack = node.dataplane->install(batch, now_ns_);
      if (ack.error != InstallError::none) ++node.said.refused;
      after(kRingDelay_ns, [this, &node, life, ack] {
        if (node.core && node.life == life) handle(node, ack);
      });
    });
  } else if (auto* answer = std::get_if<Answer>(&action)) {
    node.answers.push_back(std::move(*answer));
  } else {
    node.log.push_back(std::get<Log>(action).text);
  }
}

void Simulation::transmit(Node& node, PortIndex port, Frame frame) {
  const Wire& wire = node.wires.at(to_underlying(port));
  if (cut_[wire.link]) return;
  unsigned copies = 1;
  uint64_t late_ns = 0;
  if (is_control(frame)) {
    if (chance() < impairment_.loss) copies = 0;
    if (chance() < impairment_.duplication) ++copies;
    if (impairment_.jitter_ns != 0) late_ns = random_.number<uint64_t>() % impairment_.jitter_ns;
  }
  for (; copies != 0; --copies) {
    after(kWireDelay_ns + late_ns * copies, [this, &peer = at(wire.node), there = wire.port, frame] {
      if (peer.dataplane) peer.dataplane->receive(there, frame, now_ns_);
    });
  }
}

void Simulation::run(uint64_t duration_ns) {
  const uint64_t end_ns = now_ns_ + duration_ns;
  while (true) {
    const uint64_t next_ns = std::min(work_.empty() ? UINT64_MAX : work_.begin()->first, turn_ns_);
    if (next_ns > end_ns) break;
    now_ns_ = std::max(now_ns_, next_ns);
    if (turn_ns_ <= now_ns_) {
      turn_ns_ = now_ns_ + kTurn_ns;
      for (Node& node : nodes_ | std::views::values) {
        if (node.dataplane) node.dataplane->tick(now_ns_);
      }
      continue;
    }
    const Work work = std::move(work_.begin()->second);
    work_.erase(work_.begin());
    work();
  }
  now_ns_ = end_ns;
}

bool Simulation::run_until(const std::function<bool()>& holds, uint64_t most_ns) {
  for (uint64_t passed = 0; passed < most_ns; passed += 10 * kMs) {
    if (holds()) return true;
    run(10 * kMs);
  }
  return holds();
}

void Simulation::send(const std::string& from, const std::string& to) {
  at(from).dataplane->send_datagram(address(to), now_ns_);
}

Answer Simulation::ask(const std::string& name, Event request, uint64_t most_ns) {
  Node& node = at(name);
  node.answers.clear();
  handle(node, request);
  run_until([&] { return !node.answers.empty(); }, most_ns);
  return node.answers.empty() ? Answer{.token = 0, .error = "no answer", .circuits = {}} : node.answers.front();
}

void Simulation::reset_said() {
  for (Node& node : nodes_ | std::views::values) node.said = {};
}

Ipv6Address Simulation::address(const std::string& node) const {
  return skywire_address(topology_.at(*topology_.find_node(node)).key);
}

bool Simulation::links_up() {
  return std::ranges::all_of(names_, [&](const std::string& name) {
    return std::ranges::all_of(snapshot(name).links, [](const LinkSnapshot& link) { return link.state == "up"; });
  });
}

std::vector<MemberSnapshot> Simulation::live_members(const std::string& from, const std::string& to) {
  std::vector<MemberSnapshot> live;
  for (const GroupSnapshot& group : snapshot(from).groups) {
    if (group.node != to) continue;
    std::ranges::copy_if(group.members, std::back_inserter(live), [](const auto& member) { return member.live; });
  }
  return live;
}

Topology four_domains() {
  Topology topology;
  const auto prefix = [](const char* text) { return parse_prefix(text).value(); };
  const auto domain = [&](const char* name, uint32_t number, const char* ipv6, const char* ipv4) {
    return topology.add_domain(name, number, {prefix(ipv6), prefix(ipv4)});
  };
  const auto alpha = domain("alpha", 64512, "2001:db8:a::/48", "10.1.0.0/16");
  const auto beta = domain("beta", 64513, "2001:db8:b::/48", "10.2.0.0/16");
  const auto gamma = domain("gamma", 64514, "2001:db8:c::/48", "10.3.0.0/16");
  const auto delta = domain("delta", 64515, "2001:db8:d::/48", "10.4.0.0/16");
  const auto a1 = topology.add_node(alpha, "a1");
  const auto b1 = topology.add_node(beta, "b1");
  const auto b2 = topology.add_node(beta, "b2");
  const auto g1 = topology.add_node(gamma, "g1");
  const auto d1 = topology.add_node(delta, "d1");
  topology.add_link("a1-g1", a1, g1);
  topology.add_link("g1-d1", g1, d1);
  topology.add_link("a1-b1", a1, b1);
  topology.add_link("b1-b2", b1, b2);
  topology.add_link("b2-d1", b2, d1);
  return topology;
}

}  // namespace sky::sim
