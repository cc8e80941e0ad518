// The real router and the naive one get the same random installs and frames; what comes out and every counter must be
// the same after each turn. SKYEDGE_MODEL_FRAMES says how many, SKYEDGE_MODEL_SEED where to begin; both are printed.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <iostream>

#include "tests/model/model_router.h"
#include "tests/model/world.h"
#include "tests/support/node.h"

namespace sky::test {
namespace {

constexpr uint64_t kFramesPerWorld = 20'000;

uint64_t from_environment(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 0);
}

/// One world, its two routers side by side.
class Contest {
 public:
  explicit Contest(uint64_t seed) : world_(seed) {
    for (const auto& batch : world_.beginning()) install(batch);
    for (uint16_t link = 0; link < 9; ++link) arrive(world_.pings(link));
  }
  uint64_t frames() const { return frames_; }
  const Change& total() const { return total_; }

  void step() {
    if (world_.chance(20)) return install(world_.change());
    std::vector<World::Arrival> burst(world_.below(65));
    for (World::Arrival& each : burst) each = world_.frame();
    std::vector<Bytes> plain(world_.chance(30) ? world_.below(30) : 0);
    for (Bytes& each : plain) each = world_.plain();
    arrive(burst, plain);
  }
  void finish() {
    node_.expect_at_rest();
    EXPECT_TRUE(node_.tables->settled());
  }

 private:
  void install(const std::vector<InstallMessage>& batch) {
    if (node_.try_install(batch, false)) {
      world_.accepted(batch);
      for (const InstallMessage& message : batch) model_.install(message);
    }
    for (int turns = 0; turns < 5; ++turns) {
      node_.turn();
      model_.release();
      compare();
    }
  }

  void arrive(const std::vector<World::Arrival>& burst, const std::vector<Bytes>& plain = {}) {
    node_.pass(11'000);  // the TUN is read again
    for (unsigned port = 0; port < World::kPorts; ++port) {
      for (const World::Arrival& each : burst) {
        if (each.port != port) continue;
        node_.port(port).push(each.frame);
        model_.frame(port, each.frame, node_.now_ns());
      }
    }
    model_.release();  // what was held goes before what comes behind it
    for (const Bytes& each : plain) {
      node_.tun_write(each);
      model_.plain(each);
    }
    frames_ += burst.size();
    node_.worker_turn();
    compare();
  }

  void compare() {
    model_.timers();
    ModelRouter::Outcome wanted = model_.take();
    const Change change = node_.change();
    EXPECT_EQ(wanted.change, change);
    total_ += change;
    for (unsigned port = 0; port < World::kPorts; ++port) compare_port(port, wanted.sent);
    EXPECT_EQ(wanted.delivered, node_.tun_read());
    std::vector<Bytes> punted;
    for (const ControlPacket& punt : node_.punts())
      punted.emplace_back(punt.payload.begin(), punt.payload.begin() + punt.length);
    // Handshakes of strangers go up before the rest of their burst is opened.
    std::ranges::sort(punted);
    std::ranges::sort(wanted.punted);
    EXPECT_EQ(wanted.punted, punted);
    node_.events();
  }

  void compare_port(unsigned port, const std::vector<ModelRouter::Sent>& sent) {
    std::vector<Bytes> wanted;
    for (unsigned queue = 0; queue < 3; ++queue) {
      for (const auto& each : sent) {
        if (each.port == port && each.queue == queue) wanted.push_back(each.frame);
      }
    }
    const std::vector<Bytes> got = node_.port(port).pop_all();
    ASSERT_EQ(wanted.size(), got.size()) << "port " << port;
    for (size_t i = 0; i < got.size(); ++i) {
      if (wanted[i].empty()) continue;  // a ping or probe
      ASSERT_EQ(wanted[i], part(got[i], 14)) << "port " << port << ", frame " << i;
    }
  }

  World world_;
  Node node_{{.ports = World::kPorts, .mtu = World::kMtu, .ring_frames = 2048}};
  ModelRouter model_{World::kMtu};
  uint64_t frames_ = 0;
  Change total_;
};

TEST(Model, AgreesOnRandomFramesAndInstalls) {
  const uint64_t frames = from_environment("SKYEDGE_MODEL_FRAMES", 200'000);
  uint64_t seed = from_environment("SKYEDGE_MODEL_SEED", std::random_device{}());
  std::cout << "SKYEDGE_MODEL_SEED=" << seed << " SKYEDGE_MODEL_FRAMES=" << frames << "\n";
  const auto start = std::chrono::steady_clock::now();
  Change total;
  for (uint64_t done = 0; done < frames; ++seed) {
    Contest contest(seed);
    for (uint64_t step = 0; contest.frames() < kFramesPerWorld && !testing::Test::HasFailure(); ++step) {
      SCOPED_TRACE(fmt::format("seed {}, step {}, frame {}", seed, step, contest.frames()));
      contest.step();
    }
    contest.finish();
    if (testing::Test::HasFailure()) FAIL() << "seed " << seed;
    done += contest.frames();
    total += contest.total();
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  std::cout << total << "\n" << took.count() << " s\n";
  EXPECT_GT(total.transmitted, total.received / 10) << "mostly refused: that compares little";
}

}  // namespace
}  // namespace sky::test
