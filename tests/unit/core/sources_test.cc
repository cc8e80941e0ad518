// The core takes topology and paths from interfaces: here from a source that changes under it, and from fixed lists.
#include <gtest/gtest.h>

#include <algorithm>

#include "controlplane/core/core.h"
#include "dataplane/base/address.h"

namespace sky::controlplane {
namespace {

constexpr TimeNs kSecond = 1'000'000'000;

Identity identity(uint8_t number) {
  std::array<uint8_t, 32> seed{};
  seed[0] = number;
  return Identity::from_seed(seed);
}

/// As adverts would bring them: each new topology under a new version.
class AdvertisedTopology final : public TopologySource {
 public:
  explicit AdvertisedTopology(Topology first) : topology_(std::move(first)) {}
  const Topology& topology() const override { return topology_; }
  uint64_t version() const override { return version_; }
  void advertise(Topology topology) {
    topology_ = std::move(topology);
    ++version_;
  }

 private:
  Topology topology_;
  uint64_t version_ = 100;
};

/// Paths that somebody wrote down, however long.
class WrittenPaths final : public PathSource {
 public:
  std::vector<Path> all;
  std::vector<Path> paths(NodeIndex, NodeIndex to, unsigned k) override {
    std::vector<Path> found;
    for (const Path& path : all) {
      if (found.size() < k && path.back().node == to) found.push_back(path);
    }
    return found;
  }
};

struct World {
  Topology topology;
  NodeIndex here{}, near{}, far{};
  EdgeIndex direct{}, onward{}, around{};

  explicit World(bool with_other_node = false) {
    const auto home = topology.add_domain("home", 1, {parse_prefix("10.1.0.0/16").value()});
    const auto away = topology.add_domain("away", 2, {parse_prefix("10.2.0.0/16").value()});
    here = topology.add_node(home, "here", identity(1).key);
    near = topology.add_node(away, "near", identity(2).key);
    far = topology.add_node(away, "far", identity(3).key);
    direct = topology.add_link("here-near", here, near);
    onward = topology.add_link("near-far", near, far);
    around = topology.add_link("here-far", here, far);
    if (with_other_node) {
      const auto domain = topology.add_domain("new", 3, {parse_prefix("10.3.0.0/16").value()});
      topology.add_link("far-other", far, topology.add_node(domain, "other", identity(4).key));
    }
  }
};

RouterConfig config() {
  RouterConfig config;
  config.node.name = "here";
  for (const char* name : {"here-near", "here-far"}) {
    config.ports.push_back({.name = name, .device = "none", .mark = {}});
    LinkConfig link;
    link.name = name;
    link.port = PortIndex{static_cast<uint16_t>(config.links.size())};
    config.links.push_back(link);
  }
  return config;
}

class Sources : public testing::Test {
 protected:
  SeededRandom random{1};
  std::shared_ptr<AdvertisedTopology> topology = std::make_shared<AdvertisedTopology>(World().topology);
  std::shared_ptr<WrittenPaths> paths = std::make_shared<WrittenPaths>();

  Result<Core> make(RouterConfig with = config()) {
    return Core::create(
        {.config = std::move(with), .identity = identity(1), .pre_shared = {}, .topology = topology, .paths = paths},
        random, kSecond);
  }
  /// Attaches to an empty dataplane that takes everything, and returns what it was told.
  static std::vector<InstallMessage> settle(Core& core, const Event& event, TimeNs now) {
    std::vector<InstallMessage> told;
    std::vector<Event> events{event};
    while (!events.empty()) {
      const Event next = std::move(events.back());
      events.pop_back();
      for (Action& action : core.handle(next, now)) {
        const auto* install = std::get_if<Install>(&action);
        if (install == nullptr) continue;
        told.insert(told.end(), install->messages.begin(), install->messages.end());
        events.emplace_back(Acked{install->generation, InstallError::none, 0});
      }
    }
    return told;
  }
  static std::string group_of(const Snapshot& snapshot, const std::string& prefix) {
    const auto found = std::ranges::find(snapshot.destinations, prefix, &DestinationSnapshot::prefix);
    return found == snapshot.destinations.end() ? "none" : found->local ? "local" : found->node;
  }
};

TEST_F(Sources, PathsAreWhatTheSourceSays) {
  const World world;
  paths->all = {{{world.direct, world.near}, {world.onward, world.far}},
                {{world.around, world.far}},
                {{world.direct, world.near}}};
  auto core = make();
  ASSERT_TRUE(core) << core.error().message;
  settle(*core, Attached{.boot_id = 1, .fence = 1, .rows = {}}, kSecond);
  const Snapshot snapshot = core->snapshot(kSecond);
  ASSERT_EQ(snapshot.paths.size(), 3u);
  EXPECT_EQ(snapshot.paths[1].nodes, (std::vector<std::string>{"here", "near", "far"}));  // groups in order of nodes
  EXPECT_EQ(snapshot.paths[1].links, (std::vector<std::string>{"here-near", "near-far"}));
  EXPECT_EQ(snapshot.paths[2].nodes, (std::vector<std::string>{"here", "far"}));
  // The nearest by these paths serves the domain's prefix.
  EXPECT_EQ(group_of(snapshot, "10.2.0.0/16"), "near");
  EXPECT_EQ(group_of(snapshot, "10.1.0.0/16"), "local");
}

TEST_F(Sources, AnotherTopologyIsTakenOver) {
  const World world;
  paths->all = {{{world.around, world.far}}, {{world.direct, world.near}, {world.onward, world.near}}};
  auto core = make();
  ASSERT_TRUE(core) << core.error().message;
  settle(*core, Attached{.boot_id = 1, .fence = 1, .rows = {}}, kSecond);
  EXPECT_EQ(core->snapshot(kSecond).topology_version, 100u);
  EXPECT_EQ(group_of(core->snapshot(kSecond), "10.2.0.0/16"), "far");
  EXPECT_EQ(group_of(core->snapshot(kSecond), "10.3.0.0/16"), "none");

  topology->advertise(World(true).topology);
  const auto added = settle(*core, Tick{}, 2 * kSecond);
  EXPECT_EQ(core->snapshot(2 * kSecond).topology_version, 101u);
  EXPECT_EQ(group_of(core->snapshot(2 * kSecond), "10.3.0.0/16"), "other");
  EXPECT_EQ(std::ranges::count(added, Verb::put_group, &InstallMessage::verb), 1);
  EXPECT_EQ(std::ranges::count(added, Verb::put_destination, &InstallMessage::verb), 2);
  EXPECT_EQ(added.size(), 3u);

  topology->advertise(World().topology);
  const auto removed = settle(*core, Tick{}, 3 * kSecond);
  EXPECT_EQ(group_of(core->snapshot(3 * kSecond), "10.3.0.0/16"), "none");
  EXPECT_EQ(std::ranges::count(removed, Verb::delete_group, &InstallMessage::verb), 1);
  EXPECT_EQ(std::ranges::count(removed, Verb::delete_destination, &InstallMessage::verb), 2);
}

TEST_F(Sources, ANodeOrLinkThatTheTopologyLacksIsAnError) {
  RouterConfig stranger = config();
  stranger.node.name = "nobody";
  EXPECT_FALSE(make(stranger));
  RouterConfig elsewhere = config();
  elsewhere.links[1].name = "near-far";  // a link, but not of this node
  EXPECT_FALSE(make(elsewhere));
  EXPECT_TRUE(make());
}

TEST_F(Sources, LogLinesAreRationed) {
  auto core = make();
  ASSERT_TRUE(core);
  size_t lines = 0;
  ControlPacket packet{.kind = SlotKind::link_packet, .type = to_underlying(PacketType::signal), .length = 1};
  packet.payload[0] = 99;
  for (int i = 0; i < 10'000; ++i) {
    for (const Action& action : core->handle(PacketIn{packet}, kSecond + i))
      lines += std::holds_alternative<Log>(action);
  }
  EXPECT_GT(lines, 10u);
  EXPECT_LE(lines, 200u);
}

}  // namespace
}  // namespace sky::controlplane
