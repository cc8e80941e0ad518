// The real router and the naive one get the same random installs and frames; what comes out and every counter must be
// the same after each turn. SKYEDGE_MODEL_FRAMES says how many, SKYEDGE_MODEL_SEED where to begin; both are printed.
#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <iostream>

#include "tests/model/contest.h"

namespace sky::test {
namespace {

constexpr uint64_t kFramesPerWorld = 20'000;

uint64_t from_environment(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 0);
}

TEST(Model, AgreesOnRandomFramesAndInstalls) {
  const uint64_t frames = from_environment("SKYEDGE_MODEL_FRAMES", 200'000);
  uint64_t seed = from_environment("SKYEDGE_MODEL_SEED", std::random_device{}());
  std::cout << "SKYEDGE_MODEL_SEED=" << seed << " SKYEDGE_MODEL_FRAMES=" << frames << "\n";
  const auto start = std::chrono::steady_clock::now();
  Change total;
  for (uint64_t done = 0; done < frames; ++seed) {
    Seeded choices(seed);
    World world(choices);
    Node node({.ports = World::kPorts, .mtu = World::kMtu, .ring_frames = 2048});
    Contest contest(node, world);
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
