// Groups of mode copy: two circuits that share streams, whatever becomes of paths, delays and control planes.
#include "tests/sim/four_domains.h"

namespace sky::sim {
namespace {

using controlplane::GroupSnapshot;
using controlplane::TrafficSeen;

class Copies : public FourDomains {
 protected:
  static void copy_to_d1(const std::string& node, RouterConfig& config) {
    if (node == "a1") config.circuits.copy = {.to = {{.name = "d1", .mark = {}}}, .rate = 1'000'000};
  }
  void come_up_copying(const Simulation::Configure& configure = copy_to_d1) {
    come_up_with_circuits(1, configure);
    ASSERT_TRUE(sim().run_until([&] { return group().copies == "twice"; }, 5 * kS)) << group().copies;
    sim().run(100 * kMs);
  }
  GroupSnapshot group() {
    for (const GroupSnapshot& each : sim().snapshot("a1").groups) {
      if (each.node == "d1") return each;
    }
    return {};
  }
  std::vector<MemberMessage> members() {
    std::vector<MemberMessage> found;
    for (const auto& [key, member] : sim().dataplane("a1").members()) {
      if (key.first == group().index) found.push_back(member);
    }
    return found;
  }
  uint64_t duplicates() {
    const auto& drops = sim().dataplane("d1").counts().drops;
    return drops.contains("copy_duplicate") ? drops.at("copy_duplicate") : 0;
  }
  /// Round trips that differ by so much, as the counters show them.
  void measure(uint32_t difference_us) {
    for (const MemberMessage& member : members()) {
      sim().inject("a1", TrafficSeen{.group = member.group,
                                     .slot = member.slot,
                                     .rtt_us = 2'000 + (member.weight == 0 ? difference_us : 0)});
    }
  }
  void expect_all_delivered_twice_sent() {
    const uint64_t before = duplicates();
    const auto [sent, arrived] = traffic("a1", "d1", 500 * kMs);
    EXPECT_EQ(arrived, sent);
    EXPECT_EQ(duplicates() - before, sent);
  }
};

TEST_F(Copies, BothCircuitsShareStreamsAndEachPacketIsDeliveredOnce) {
  come_up_copying();
  const auto both = members();
  ASSERT_EQ(both.size(), 2u);
  EXPECT_EQ(copied_streams(both[0].copied).window, 13);
  EXPECT_EQ(both[0].copied, both[1].copied);
  EXPECT_NE(both[0].stream, both[1].stream);
  EXPECT_EQ(group().copy_window, 8192u);
  EXPECT_TRUE(group().copies_share.empty());
  expect_all_delivered_twice_sent();
  const uint64_t before = duplicates();
  const auto [sent, arrived] = traffic("d1", "a1", 200 * kMs);
  EXPECT_EQ(arrived, sent);
  EXPECT_EQ(duplicates(), before) << "the far end asked for no copies";
  expect_nothing_refused();
}

TEST_F(Copies, TheOtherEndThatCopiesTooHasCircuitsOfItsOwn) {
  come_up_copying([](const std::string& node, RouterConfig& config) {
    copy_to_d1(node, config);
    if (node == "d1") config.circuits.copy = {.to = {{.name = "a1", .mark = {}}}, .rate = 1'000'000};
  });
  ASSERT_TRUE(sim().run_until([&] { return have_circuits(4) && have_circuits(4, "d1", "a1"); }, 5 * kS));
  sim().run(1 * kS);
  const uint64_t before = sim().dataplane("d1").counts().copied;
  const auto [sent, arrived] = traffic("d1", "a1", 200 * kMs);
  EXPECT_EQ(arrived, sent);
  EXPECT_EQ(sim().dataplane("d1").counts().copied - before, sent);
  expect_all_delivered_twice_sent();
}

TEST_F(Copies, ACutCostsNothing) {
  for (const std::string link : {"a1-g1", "g1-d1", "b1-b2"}) {
    come_up_copying();
    const uint64_t before = delivered("d1");
    uint64_t sent = 0;
    for (; sent < 400; ++sent) {
      if (sent == 100) sim().cut(link);
      sim().send("a1", "d1");
      sim().run(10 * kMs);
    }
    sim().run(100 * kMs);
    EXPECT_EQ(delivered("d1") - before, sent) << link;
    EXPECT_EQ(group().copies, "alone: no second circuit") << link;
    sim().mend(link);
    ASSERT_TRUE(sim().run_until([&] { return group().copies == "twice"; }, 90 * kS)) << link << group().copies;
    expect_all_delivered_twice_sent();
  }
}

TEST_F(Copies, AControlPlaneThatReturnsFindsThemAndSetsNothingUp) {
  come_up_copying();
  const auto before = members();
  for (const std::string node : {"a1", "d1", "g1"}) {
    sim().reset_said();
    sim().kill_control(node);
    sim().start_control(node);
    sim().run(2 * kS);
    EXPECT_EQ(sum_of_setups(), 0u) << node;
    EXPECT_EQ(group().copies, "twice") << node;
    const auto after = members();
    ASSERT_EQ(after.size(), 2u);
    for (size_t i = 0; i < after.size(); ++i) {
      EXPECT_EQ(after[i].copied, before[i].copied);
      EXPECT_EQ(after[i].circuit, before[i].circuit);
    }
    expect_all_delivered_twice_sent();
  }
  // Another node's circuits to the same end take other streams.
  sim().run(20 * 60 * kS);
  expect_nothing_refused();
}

TEST_F(Copies, ADataplaneThatReturnsGetsThemAgain) {
  for (const std::string node : {"a1", "d1"}) {
    come_up_copying();
    sim().kill_dataplane(node);
    sim().start_dataplane(node);
    ASSERT_TRUE(
        sim().run_until([&] { return sim().links_up() && have_circuits() && group().copies == "twice"; }, 30 * kS))
        << node << " " << group().copies;
    sim().run(5 * kS);
    expect_all_delivered_twice_sent();
  }
}

TEST_F(Copies, WaysFartherApartGetLongerWindowsWithoutLoss) {
  come_up_copying();
  const auto before = members();
  measure(40'000);  // 20 ms one way: 2 x 20,000 and a burst of 1,000
  const auto [sent, arrived] = traffic("a1", "d1", 500 * kMs, 1 * kMs);
  EXPECT_EQ(arrived, sent);
  const auto after = members();
  ASSERT_EQ(after.size(), 2u);
  for (const MemberMessage& member : after) {
    EXPECT_EQ(copied_streams(member.copied).window, 16);
    EXPECT_EQ(member.copied, after[0].copied);
    EXPECT_NE(copied_streams(member.copied).stream, copied_streams(before[0].copied).stream);
    EXPECT_EQ(member.circuit, before[&member - after.data()].circuit) << "the circuits stay";
  }
  EXPECT_EQ(group().copy_window, 65'536u);
  for (const auto& [slot, rule] : sim().dataplane("d1").rules()) {
    if (rule.rule.action == RuleAction::consume) {
      EXPECT_EQ(copied_streams(rule.copied).window, 16);
    }
  }
  // What was measured once stays: nothing is asked for anew when they come closer again.
  sim().reset_said();
  measure(0);
  sim().run(1 * kS);
  EXPECT_EQ(sum_of_setups(), 0u);
  expect_all_delivered_twice_sent();
}

TEST_F(Copies, WaysTooFarApartAreRefusedWithAReason) {
  come_up_copying();
  measure(2'000'000);  // a second at a million packets: two million counters
  const auto [sent, arrived] = traffic("a1", "d1", 500 * kMs, 1 * kMs);
  EXPECT_EQ(arrived, sent);
  EXPECT_EQ(group().copies, "refused: 1s apart at 1000000 a second take a window of 2001000, at most 1048576");
  for (const MemberMessage& member : members()) EXPECT_EQ(member.copied, 0);
  EXPECT_EQ(sim().dataplane("a1").counts().copied, duplicates());
  measure(100);
  ASSERT_TRUE(sim().run_until([&] { return group().copies == "twice"; }, 5 * kS)) << group().copies;
  expect_all_delivered_twice_sent();
}

TEST_F(Copies, AFarEndWithoutRoomLeavesThemAlone) {
  come_up_with_circuits(1, [](const std::string& node, RouterConfig& config) {
    copy_to_d1(node, config);
    if (node == "d1") config.dataplane.sizes.copy_windows_bytes = 4 * 65'536;
  });
  sim().run(1 * kS);
  EXPECT_EQ(group().copies, "twice") << "windows no longer than every stream's take no room of it";
  measure(1'000'000);
  const auto [sent, arrived] = traffic("a1", "d1", 2 * kS);
  EXPECT_EQ(arrived, sent);
  EXPECT_EQ(group().copies, "alone: the far end keeps no windows for it");
}

TEST_F(Copies, CircuitsThatStandGetThemWhenTheyAreConfigured) {
  come_up_with_circuits();
  const Names before = circuits("a1");
  copy_to_d1("a1", sim().config("a1"));
  sim().kill_control("a1");
  sim().start_control("a1");
  sim().send("a1", "d1");
  ASSERT_TRUE(sim().run_until([&] { return group().copies == "twice"; }, 5 * kS)) << group().copies;
  EXPECT_EQ(circuits("a1"), before);
  expect_all_delivered_twice_sent();
  // And lose them again.
  sim().config("a1").circuits.copy = {};
  sim().kill_control("a1");
  sim().start_control("a1");
  sim().run(1 * kS);
  const uint64_t copies = duplicates();
  const auto [sent, arrived] = traffic("a1", "d1", 200 * kMs);
  EXPECT_EQ(arrived, sent);
  EXPECT_EQ(duplicates(), copies);
  EXPECT_EQ(circuits("a1"), before);
}

TEST_F(Copies, WhatBothWaysShareIsShown) {
  controlplane::Topology topology;
  const auto one = topology.add_domain("one", 64501);
  const auto two = topology.add_domain("two", 64502);
  const auto a1 = topology.add_node(one, "a1");
  const auto m1 = topology.add_node(one, "m1");
  const auto d1 = topology.add_node(two, "d1");
  topology.add_link("a1-m1", a1, m1);
  topology.add_link("m1-d1-x", m1, d1);
  topology.add_link("m1-d1-y", m1, d1);
  made = std::make_unique<Simulation>(topology, 1, copy_to_d1);
  sim().start_all();
  ASSERT_TRUE(sim().run_until([&] { return sim().links_up(); }, 10 * kS));
  sim().send("a1", "d1");
  ASSERT_TRUE(sim().run_until([&] { return group().copies.starts_with("twice"); }, 5 * kS)) << group().copies;
  EXPECT_EQ(group().copies, "twice, both ways share a1-m1, m1");
  sim().run(100 * kMs);
  expect_all_delivered_twice_sent();
  EXPECT_NE(text_of(sim().log("a1")).find("both ways share a1-m1, m1"), std::string::npos);
}

}  // namespace
}  // namespace sky::sim
