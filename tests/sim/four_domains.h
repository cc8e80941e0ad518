// The network of most tests: two fully disjoint ways from a1 to d1.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/sim/simulation.h"

namespace sky::sim {

using controlplane::MemberSnapshot;
using Names = std::vector<std::string>;

class FourDomains : public testing::Test {
 protected:
  std::unique_ptr<Simulation> made;

  Simulation& sim() { return *made; }
  void make(uint64_t seed = 1, const Simulation::Configure& configure = {}) {
    made = std::make_unique<Simulation>(four_domains(), seed, configure);
  }
  void come_up(uint64_t seed = 1, const Simulation::Configure& configure = {}) {
    make(seed, configure);
    sim().start_all();
    ASSERT_TRUE(sim().run_until([&] { return sim().links_up(); }, 10 * kS));
  }
  bool have_circuits(size_t count = 2, const std::string& from = "a1", const std::string& to = "d1") {
    return sim().live_members(from, to).size() >= count;
  }
  /// Two live circuits from a1 to d1, each used once each way.
  void come_up_with_circuits(uint64_t seed = 1, const Simulation::Configure& configure = {}) {
    come_up(seed, configure);
    sim().send("a1", "d1");
    ASSERT_TRUE(sim().run_until([&] { return have_circuits() && have_circuits(2, "d1", "a1"); }, 5 * kS));
    sim().send("d1", "a1");
    sim().run(100 * kMs);
    ASSERT_EQ(delivered("d1"), 1u);
    ASSERT_EQ(delivered("a1"), 1u);
  }
  uint64_t delivered(const std::string& node) { return sim().dataplane(node).counts().delivered; }
  /// Sends for so long and says how many arrived of how many.
  std::pair<uint64_t, uint64_t> traffic(const std::string& from, const std::string& to, uint64_t duration_ns,
                                        uint64_t gap_ns = 10 * kMs) {
    const uint64_t before = delivered(to);
    uint64_t sent = 0;
    for (uint64_t passed = 0; passed < duration_ns; passed += gap_ns, ++sent) {
      sim().send(from, to);
      sim().run(gap_ns);
    }
    sim().run(100 * kMs);
    return {sent, delivered(to) - before};
  }
  Names circuits(const std::string& node) {
    Names ids;
    for (const auto& circuit : sim().snapshot(node).circuits) ids.push_back(circuit.circuit);
    std::ranges::sort(ids);
    return ids;
  }
  unsigned sum_of_setups() {
    unsigned sum = 0;
    for (const std::string& node : sim().nodes()) sum += sim().said(node).setups();
    return sum;
  }
  void expect_nothing_refused() {
    for (const std::string& node : sim().nodes()) EXPECT_EQ(sim().said(node).refused, 0u) << node;
  }
};

inline std::string text_of(const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines) text += line + "\n";
  return text;
}

}  // namespace sky::sim
