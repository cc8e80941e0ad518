// Processes die and return: what stands is adopted, what is lost is made again, and no more than that.
#include "tests/sim/four_domains.h"

namespace sky::sim {
namespace {

class Restart : public FourDomains {
 protected:
  std::map<std::string, std::map<uint32_t, RuleMessage>> rules() {
    std::map<std::string, std::map<uint32_t, RuleMessage>> all;
    for (const std::string& node : sim().nodes()) all[node] = sim().dataplane(node).rules();
    return all;
  }
  static bool same(const std::map<uint32_t, RuleMessage>& one, const std::map<uint32_t, RuleMessage>& other) {
    return std::ranges::equal(one, other, [](const auto& a, const auto& b) {
      return a.first == b.first && memcmp(&a.second, &b.second, sizeof(RuleMessage)) == 0;
    });
  }
  void expect_both_ways(const std::string& what) {
    for (const auto& [from, to] : {std::pair("a1", "d1"), std::pair("d1", "a1")}) {
      const auto [sent, arrived] = traffic(from, to, 200 * kMs);
      EXPECT_EQ(arrived, sent) << what << ", from " << from;
    }
  }
};

TEST_F(Restart, AControlPlaneThatReturnsAdoptsAndSignalsNothing) {
  for (const std::string& node :
       {std::string("a1"), std::string("b1"), std::string("b2"), std::string("g1"), std::string("d1")}) {
    SCOPED_TRACE(node);
    come_up_with_circuits(1, [](const std::string&, RouterConfig& config) {
      config.circuits.refresh_ns = 20 * kS;
      config.circuits.life_ns = 60 * kS;
    });
    const auto before = rules();
    const auto members = sim().live_members(node, node == "a1" ? "d1" : "a1");
    const Names ids = circuits(node);
    sim().reset_said();
    sim().kill_control(node);
    expect_both_ways("while it is away");
    sim().start_control(node);
    sim().run(1 * kS);
    expect_both_ways("after its return");
    for (const std::string& each : sim().nodes()) {
      EXPECT_TRUE(sim().said(each).signals.empty()) << each;
      EXPECT_EQ(sim().said(each).handshakes, 0u) << each;
      EXPECT_EQ(sim().said(each).deletes(), 0u) << each;
      EXPECT_EQ(sim().said(each).puts(), 0u) << each;
      EXPECT_TRUE(same(sim().dataplane(each).rules(), before.at(each))) << each;
    }
    EXPECT_EQ(circuits(node), ids);
    EXPECT_EQ(sim().snapshot(node).install.orphans, 0u);
    const auto after = sim().live_members(node, node == "a1" ? "d1" : "a1");
    ASSERT_EQ(after.size(), members.size());
    for (size_t i = 0; i < after.size(); ++i) {
      EXPECT_EQ(after[i].circuit, members[i].circuit);
      EXPECT_EQ(after[i].weight, members[i].weight);
      EXPECT_EQ(after[i].nodes, members[i].nodes);
    }
    // Refreshes go through it, and nothing expires.
    sim().run(90 * kS);
    EXPECT_EQ(circuits(node), ids);
    EXPECT_TRUE(have_circuits());
    expect_both_ways("a life later");
    expect_nothing_refused();
  }
}

TEST_F(Restart, TwentyDeathsOfControlPlanesLoseNothing) {
  come_up_with_circuits();
  const Names ids = circuits("a1");
  const Names all{"g1", "b1", "b2", "a1", "d1"};
  for (int i = 0; i < 20; ++i) {
    sim().kill_control(all[i % all.size()]);
    const auto [sent, arrived] = traffic("a1", "d1", 100 * kMs);
    EXPECT_EQ(arrived, sent);
    sim().start_control(all[i % all.size()]);
  }
  EXPECT_EQ(circuits("a1"), ids);
  expect_both_ways("afterwards");
}

TEST_F(Restart, TheSameDataplaneAttachedAgainChangesNothing) {
  come_up_with_circuits();
  sim().reset_said();
  for (const std::string& node : sim().nodes()) sim().reattach(node);
  sim().run(5 * kS);
  for (const std::string& node : sim().nodes()) {
    EXPECT_TRUE(sim().said(node).signals.empty()) << node;
    EXPECT_EQ(sim().said(node).handshakes, 0u) << node;
    EXPECT_TRUE(sim().said(node).installed.empty()) << node;
  }
  expect_both_ways("afterwards");
}

TEST_F(Restart, ATransitDataplaneGetsTheSameRulesAndNewKeys) {
  for (const std::string& node : {std::string("g1"), std::string("b1"), std::string("b2")}) {
    SCOPED_TRACE(node);
    come_up_with_circuits();
    const auto before = rules();
    std::map<std::string, uint64_t> keys;
    for (const auto& link : sim().snapshot(node).links) keys[link.name] = link.key_id;
    sim().reset_said();
    sim().kill_dataplane(node);
    sim().run(500 * kMs);
    const auto [sent, arrived] = traffic("a1", "d1", 200 * kMs);
    EXPECT_EQ(arrived, sent);  // over the other path
    sim().start_dataplane(node);
    ASSERT_TRUE(sim().run_until([&] { return sim().links_up() && have_circuits(); }, 10 * kS));
    for (const std::string& each : sim().nodes())
      EXPECT_TRUE(same(sim().dataplane(each).rules(), before.at(each))) << each;
    EXPECT_EQ(sum_of_setups(), 0u);
    for (const auto& link : sim().snapshot(node).links) EXPECT_NE(link.key_id, keys[link.name]) << link.name;
    sim().run(1 * kS);
    expect_both_ways("afterwards");
    expect_nothing_refused();
  }
}

TEST_F(Restart, AnEndDataplaneGetsNewSessionKeys) {
  for (const std::string& node : {std::string("d1"), std::string("a1")}) {
    for (const bool outward : {true, false}) {
      SCOPED_TRACE(node + (outward ? ", it sends first" : ", the other end sends first"));
      come_up_with_circuits();
      const uint64_t key = sim().snapshot(node).sessions.at(0).key_id;
      sim().kill_dataplane(node);
      sim().run(500 * kMs);
      sim().start_dataplane(node);
      ASSERT_TRUE(sim().run_until([&] { return have_circuits() && have_circuits(2, "d1", "a1"); }, 15 * kS));
      sim().run(3 * kS);
      const std::string other = node == "d1" ? "a1" : "d1";
      const auto [sent, arrived] = outward ? traffic(node, other, 200 * kMs) : traffic(other, node, 200 * kMs);
      EXPECT_EQ(arrived, sent) << text_of(sim().log(node));
      expect_both_ways("afterwards");
      EXPECT_NE(sim().snapshot(node).sessions.at(0).key_id, key);
      EXPECT_EQ(sim().snapshot("a1").sessions.at(0).key_id, sim().snapshot("d1").sessions.at(0).key_id);
      expect_nothing_refused();
    }
  }
}

TEST_F(Restart, ATransitNodeThatLostBothComesBackIntoTheCircuit) {
  come_up_with_circuits();
  const Names ids = circuits("a1");
  sim().kill_control("g1");
  sim().kill_dataplane("g1");
  sim().run(2 * kS);
  sim().start("g1");
  ASSERT_TRUE(sim().run_until([&] { return have_circuits() && have_circuits(2, "d1", "a1"); }, 30 * kS))
      << text_of(sim().log("a1"));
  EXPECT_EQ(circuits("a1"), ids);  // the same circuits, mended
  EXPECT_EQ(circuits("g1").size(), 1u);
  expect_both_ways("afterwards");
  expect_nothing_refused();
}

TEST_F(Restart, AnEndThatLostBothIsReachedAgain) {
  for (const std::string& node : {std::string("d1"), std::string("a1")}) {
    SCOPED_TRACE(node);
    come_up_with_circuits();
    sim().kill_control(node);
    sim().kill_dataplane(node);
    sim().run(2 * kS);
    sim().start(node);
    ASSERT_TRUE(sim().run_until([&] { return sim().links_up(); }, 10 * kS));
    sim().send("a1", "d1");
    ASSERT_TRUE(sim().run_until([&] { return have_circuits() && have_circuits(2, "d1", "a1"); }, 30 * kS))
        << text_of(sim().log("a1")) << text_of(sim().log("d1"));
    sim().run(1 * kS);
    expect_both_ways("afterwards");
    expect_nothing_refused();
  }
}

TEST_F(Restart, LinksInAnotherOrderAreOtherLinks) {
  for (const std::string& node : {std::string("a1"), std::string("d1")}) {
    SCOPED_TRACE(node);
    come_up_with_circuits();
    sim().kill_control(node);
    std::swap(sim().config(node).links[0], sim().config(node).links[1]);
    sim().start_control(node);
    ASSERT_TRUE(sim().run_until([&] { return sim().links_up(); }, 20 * kS)) << text_of(sim().log(node));
    ASSERT_TRUE(sim().run_until(
        [&] {
          sim().send("a1", "d1");
          return have_circuits();
        },
        60 * kS))
        << text_of(sim().log("a1"));
    sim().run(1 * kS);
    expect_both_ways("afterwards");
    expect_nothing_refused();
  }
}

TEST_F(Restart, ADeathInTheMiddleOfSettingUpIsOvercome) {
  for (const std::string& node : {std::string("a1"), std::string("g1"), std::string("b2"), std::string("d1")}) {
    for (uint64_t after_us = 0; after_us < 9000; after_us += 700) {
      SCOPED_TRACE(fmt::format("{} dies after {} us", node, after_us));
      come_up(1, [](const std::string&, RouterConfig& config) {
        config.circuits.refresh_ns = 10 * kS;
        config.circuits.life_ns = 60 * kS;
      });
      sim().send("a1", "d1");
      sim().run(after_us * 1000);
      sim().kill_control(node);
      sim().run(100 * kMs);
      sim().start_control(node);
      sim().send("a1", "d1");
      ASSERT_TRUE(sim().run_until([&] { return have_circuits(); }, 40 * kS)) << text_of(sim().log("a1"));
      expect_both_ways("afterwards");
      // What nobody owns is gone after a refresh period, and no circuit with it.
      sim().run(15 * kS);
      EXPECT_EQ(sim().snapshot(node).install.orphans, 0u);
      EXPECT_TRUE(have_circuits());
      expect_both_ways("a refresh later");
    }
  }
}

}  // namespace
}  // namespace sky::sim
