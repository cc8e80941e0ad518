// Links get keys, circuits come on demand over disjoint paths, whatever the wires do to the messages.
#include "controlplane/signalling/messages.h"
#include "tests/sim/four_domains.h"

namespace sky::sim {
namespace {

using controlplane::Answer;
using controlplane::PingRequest;
using controlplane::Topology;
using controlplane::TraceRequest;

TEST_F(FourDomains, LinksAreKeyedAndUp) {
  come_up();
  expect_nothing_refused();
  for (const std::string& node : sim().nodes()) {
    EXPECT_EQ(sim().said(node).setups(), 0u);
    for (const auto& link : sim().snapshot(node).links) EXPECT_EQ(link.handshakes, 1u) << node << " " << link.name;
  }
}

TEST_F(FourDomains, AMissMakesTwoDisjointCircuits) {
  come_up();
  sim().send("a1", "d1");
  ASSERT_TRUE(sim().run_until([&] { return have_circuits(); }, 3 * kS));
  sim().run(100 * kMs);
  EXPECT_EQ(delivered("d1"), 1u);  // the packet that was held
  const std::vector<MemberSnapshot> members = sim().live_members("a1", "d1");
  ASSERT_EQ(members.size(), 2u);
  EXPECT_EQ(members[0].nodes, (Names{"a1", "g1", "d1"}));
  EXPECT_EQ(members[0].weight, 1);
  EXPECT_EQ(members[1].nodes, (Names{"a1", "b1", "b2", "d1"}));
  EXPECT_EQ(members[1].weight, 0);
  EXPECT_EQ(members[0].mtu, 1500 - 63);
  // The way back takes the same circuits and asks for none.
  sim().send("d1", "a1");
  sim().run(500 * kMs);
  EXPECT_EQ(delivered("a1"), 1u);
  EXPECT_EQ(sim().said("d1").setups(), 0u);
  const std::vector<MemberSnapshot> back = sim().live_members("d1", "a1");
  ASSERT_EQ(back.size(), 2u);
  for (const MemberSnapshot& member : back) EXPECT_EQ(member.weight, member.nodes.size() == 3 ? 1 : 0);
  expect_nothing_refused();
}

TEST_F(FourDomains, KeptCircuitsNeedNoTraffic) {
  come_up(1, [](const std::string& node, RouterConfig& config) {
    if (node == "a1") config.circuits.keep = {{.name = "d1", .mark = {}}};
  });
  ASSERT_TRUE(sim().run_until([&] { return have_circuits(2, "d1", "a1"); }, 3 * kS));
  // The end that answered may be the first to send.
  const auto [sent, arrived] = traffic("d1", "a1", 200 * kMs);
  EXPECT_EQ(arrived, sent);
  sim().run(30 * 60 * kS);
  EXPECT_TRUE(have_circuits());
}

TEST_F(FourDomains, KeptOnesOfAReturningControlPlaneTooThoughNoLinkMoves) {
  come_up();
  sim().config("a1").circuits.keep = {{.name = "d1", .mark = {}}};
  sim().kill_control("a1");
  sim().start_control("a1");
  EXPECT_TRUE(sim().run_until([&] { return have_circuits(); }, 3 * kS));
}

TEST_F(FourDomains, WithOneWayDownTheOtherIsTaken) {
  come_up(1, [](const std::string&, RouterConfig& config) { config.circuits.paths = 1; });
  sim().cut("a1-g1");
  sim().run(2 * kS);
  sim().send("a1", "d1");
  ASSERT_TRUE(sim().run_until([&] { return have_circuits(1); }, 3 * kS));
  EXPECT_EQ(sim().live_members("a1", "d1")[0].nodes, (Names{"a1", "b1", "b2", "d1"}));
}

TEST_F(FourDomains, RealtimeCircuitsFitTheBudgetsOfAllHops) {
  come_up(1, [](const std::string& node, RouterConfig& config) {
    if (node == "a1" || node == "d1") {
      config.circuits.realtime = true;
      config.circuits.rate_bps = 60'000'000;
    }
    if (node == "g1") config.links[0].realtime_bps = config.links[1].realtime_bps = 50'000'000;
  });
  sim().send("a1", "d1");
  ASSERT_TRUE(sim().run_until([&] { return have_circuits(1); }, 5 * kS));
  sim().run(5 * kS);
  const std::vector<MemberSnapshot> members = sim().live_members("a1", "d1");
  ASSERT_EQ(members.size(), 1u);
  EXPECT_EQ(members[0].nodes, (Names{"a1", "b1", "b2", "d1"})) << "g1 has no room for 60 Mbit/s";
  EXPECT_NE(text_of(sim().log("a1")).find("no bandwidth"), std::string::npos);
  for (const auto& [id, rule] : sim().dataplane("b1").rules()) {
    EXPECT_EQ(rule.rate_kbit_s, 60'000u);
    EXPECT_EQ(rule.rule.treatment & kTreatmentQueue, to_underlying(Queue::realtime));
  }
  // The budget of 100 Mbit/s at b1 has no room for a second one, until the first is closed.
  sim().send("d1", "a1");
  sim().run(5 * kS);
  EXPECT_EQ(sim().live_members("d1", "a1").size(), 1u);
  sim().kill_control("b1");
  sim().start_control("b1");
  sim().run(2 * kS);
  EXPECT_TRUE(have_circuits(1)) << "adopted with its rate";
}

/// Four domains, with a second wire between a1 and g1 and between g1 and d1.
class ParallelLinks : public FourDomains {
 protected:
  void SetUp() override {
    Topology topology = four_domains();
    for (const auto& [name, from, to] : {std::tuple("a1-g1-too", "a1", "g1"), std::tuple("g1-d1-too", "g1", "d1")})
      topology.add_link(name, topology.find_node(from).value(), topology.find_node(to).value());
    made = std::make_unique<Simulation>(topology, 1, [](const std::string& node, RouterConfig& config) {
      config.circuits.paths = 1;
      if (node == "a1") config.circuits.keep = {{.name = "d1", .mark = {}}};
    });
    sim().start_all();
    ASSERT_TRUE(sim().run_until([&] { return sim().links_up(); }, 10 * kS));
    sim().send("a1", "d1");
    ASSERT_TRUE(sim().run_until([&] { return have_circuits(1) && have_circuits(1, "d1", "a1"); }, 5 * kS));
    sim().send("d1", "a1");
    sim().run(100 * kMs);
  }
  void expect_traffic(const std::string& what) {
    for (const auto& [from, to] : {std::pair("a1", "d1"), std::pair("d1", "a1")}) {
      const auto [sent, arrived] = traffic(from, to, 200 * kMs);
      EXPECT_EQ(arrived, sent) << what << ", from " << from;
    }
  }
};

TEST_F(ParallelLinks, AreEachOthersAlternateAtEveryHop) {
  const auto circuit = sim().snapshot("g1").circuits.at(0);
  EXPECT_EQ(circuit.upstream_alternate, circuit.upstream_link == "a1-g1" ? "a1-g1-too" : "a1-g1");
  EXPECT_EQ(circuit.downstream_alternate, circuit.downstream_link == "g1-d1" ? "g1-d1-too" : "g1-d1");
  EXPECT_EQ(sim().snapshot("a1").circuits.at(0).downstream_alternate, circuit.upstream_alternate);
  EXPECT_EQ(sim().snapshot("d1").circuits.at(0).upstream_alternate, circuit.downstream_alternate);
  const Names before = circuits("a1");
  const unsigned setups = sum_of_setups();
  for (const char* link : {"a1-g1", "g1-d1"}) {
    sim().cut(link);
    sim().run(2 * kS);
    expect_traffic(std::string(link) + " cut");
    sim().mend(link);
    sim().run(15 * kS);
    expect_traffic(std::string(link) + " mended");
    sim().cut(std::string(link) + "-too");
    sim().run(2 * kS);
    expect_traffic(std::string(link) + "-too cut");
    sim().mend(std::string(link) + "-too");
    sim().run(15 * kS);
  }
  EXPECT_EQ(circuits("a1"), before) << "the circuit is the same";
  EXPECT_EQ(sum_of_setups(), setups) << "nobody had to set anything up";
  expect_nothing_refused();
}

TEST_F(ParallelLinks, ARefreshComesByTheAlternateToo) {
  const Names before = circuits("d1");
  sim().cut("a1-g1");
  sim().cut("g1-d1");
  sim().run(70 * 60 * kS);
  EXPECT_EQ(circuits("d1"), before) << "older than its life of an hour";
}

TEST_F(ParallelLinks, AreKnownToAControlPlaneThatReturns) {
  for (const char* node : {"a1", "g1", "d1"}) {
    const auto before = sim().snapshot(node).circuits.at(0);
    sim().kill_control(node);
    sim().run(kS);
    sim().start_control(node);
    sim().run(2 * kS);
    const auto after = sim().snapshot(node).circuits.at(0);
    EXPECT_EQ(after.circuit, before.circuit);
    EXPECT_EQ(after.upstream_alternate, before.upstream_alternate) << node;
    EXPECT_EQ(after.downstream_alternate, before.downstream_alternate) << node;
  }
  sim().cut("a1-g1");
  sim().cut("g1-d1-too");
  sim().run(2 * kS);
  expect_traffic("restarted");
  expect_nothing_refused();
}

TEST_F(FourDomains, BothEndsAskAtOnce) {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    come_up(seed);
    sim().send("a1", "d1");
    sim().send("d1", "a1");
    ASSERT_TRUE(sim().run_until([&] { return have_circuits(4) && have_circuits(4, "d1", "a1"); }, 10 * kS))
        << "seed " << seed << "\n"
        << text_of(sim().log("a1")) << text_of(sim().log("d1"));
    for (const auto& [from, to] : {std::pair("a1", "d1"), std::pair("d1", "a1")}) {
      const auto [sent, arrived] = traffic(from, to, 200 * kMs);
      EXPECT_EQ(arrived, sent) << "seed " << seed << " from " << from;
    }
    ASSERT_EQ(sim().snapshot("a1").sessions.size(), 1u);
    EXPECT_EQ(sim().snapshot("a1").sessions[0].key_id, sim().snapshot("d1").sessions[0].key_id);
  }
}

TEST_F(FourDomains, LossDuplicationAndReorderingAreOvercome) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    make(seed);
    sim().impairment() = {.loss = 0.2, .duplication = 0.2, .jitter_ns = 30 * kMs};
    sim().start_all();
    ASSERT_TRUE(sim().run_until([&] { return sim().links_up(); }, 60 * kS)) << "seed " << seed;
    sim().send("a1", "d1");
    ASSERT_TRUE(sim().run_until([&] { return have_circuits() && have_circuits(2, "d1", "a1"); }, 60 * kS))
        << "seed " << seed << "\n"
        << text_of(sim().log("a1"));
    for (const auto& [from, to] : {std::pair("a1", "d1"), std::pair("d1", "a1")}) {
      const auto [sent, arrived] = traffic(from, to, 200 * kMs);
      EXPECT_EQ(arrived, sent) << "seed " << seed << " from " << from;
    }
    expect_nothing_refused();
  }
}

TEST_F(FourDomains, TheSameSeedGivesTheSameRun) {
  std::array<Names, 2> ids;
  for (Names& each : ids) {
    make(7);
    sim().impairment() = {.loss = 0.2, .duplication = 0.2, .jitter_ns = 30 * kMs};
    sim().start_all();
    sim().run(5 * kS);
    sim().send("a1", "d1");
    sim().run(5 * kS);
    each = circuits("d1");
  }
  EXPECT_FALSE(ids[0].empty());
  EXPECT_EQ(ids[0], ids[1]);
}

TEST_F(FourDomains, PingAndTraceTellDelays) {
  come_up();
  const Answer ping = sim().ask("a1", PingRequest{.token = 5, .node = "d1"});
  EXPECT_EQ(ping.token, 5u);
  EXPECT_EQ(ping.error, "");
  EXPECT_GE(ping.circuits.size(), 1u);  // those that came up first
  ASSERT_TRUE(sim().run_until([&] { return have_circuits(2, "d1", "a1"); }, 3 * kS));
  const Answer both = sim().ask("a1", PingRequest{.token = 6, .node = "d1"});
  ASSERT_EQ(both.circuits.size(), 2u);
  for (const auto& circuit : both.circuits) {
    ASSERT_EQ(circuit.hops.size(), 1u);
    EXPECT_GE(circuit.hops[0].delay_ns, int64_t{4 * kMs});
    EXPECT_LE(circuit.hops[0].delay_ns, int64_t{7 * kMs});
  }
  for (const auto& [from, to] : {std::pair("a1", "d1"), std::pair("d1", "a1")}) {
    const Answer trace = sim().ask(from, TraceRequest{.token = 7, .node = to});
    ASSERT_EQ(trace.circuits.size(), 2u);
    for (const auto& circuit : trace.circuits) {
      ASSERT_GE(circuit.hops.size(), 3u);
      EXPECT_EQ(circuit.hops.front().node, from);
      EXPECT_EQ(circuit.hops.back().node, to);
      EXPECT_EQ(circuit.hops.front().link, "");
      for (size_t hop = 1; hop < circuit.hops.size(); ++hop) {
        EXPECT_GT(circuit.hops[hop].delay_ns, circuit.hops[hop - 1].delay_ns);
        EXPECT_NE(circuit.hops[hop].link, "");
      }
    }
  }
  EXPECT_NE(sim().ask("a1", PingRequest{.token = 8, .node = "nobody"}).error, "");
  EXPECT_NE(sim().ask("a1", PingRequest{.token = 9, .node = "a1"}).error, "");
  sim().kill_dataplane("d1");
  sim().kill_control("d1");
  const Answer dead = sim().ask("a1", PingRequest{.token = 10, .node = "d1"});
  ASSERT_EQ(dead.circuits.size(), 2u);
  for (const auto& circuit : dead.circuits) EXPECT_EQ(circuit.hops[0].delay_ns, -1);
}

TEST_F(FourDomains, IdleCircuitsAreClosedEverywhere) {
  come_up_with_circuits(1, [](const std::string&, RouterConfig& config) { config.circuits.idle_ns = 20 * kS; });
  sim().run(19 * kS);
  EXPECT_TRUE(have_circuits());
  sim().inject("a1", controlplane::TrafficSeen{*sim().dataplane("a1").group_of(sim().address("d1")), 0});
  sim().run(19 * kS);
  EXPECT_TRUE(have_circuits());
  sim().run(5 * kS);
  for (const std::string& node : sim().nodes()) {
    EXPECT_TRUE(circuits(node).empty()) << node;
    EXPECT_TRUE(sim().dataplane(node).rules().empty()) << node;
    EXPECT_TRUE(sim().dataplane(node).members().empty()) << node;
    EXPECT_TRUE(sim().snapshot(node).sessions.empty()) << node;
  }
  // And come again on demand.
  const auto [sent, arrived] = traffic("a1", "d1", 2 * kS, 50 * kMs);
  EXPECT_EQ(arrived, sent);
  expect_nothing_refused();
}

TEST_F(FourDomains, RefreshKeepsAliveAndSilenceEnds) {
  come_up_with_circuits(1, [](const std::string&, RouterConfig& config) {
    config.circuits.refresh_ns = 5 * kS;
    config.circuits.life_ns = 12 * kS;
  });
  const Names before = circuits("g1");
  ASSERT_EQ(before.size(), 1u);
  sim().run(60 * kS);
  EXPECT_EQ(circuits("g1"), before);
  // The ingress is gone for good: nobody refreshes.
  sim().kill_control("a1");
  sim().kill_dataplane("a1");
  sim().run(20 * kS);
  for (const std::string& node : Names{"b1", "b2", "g1", "d1"}) {
    EXPECT_TRUE(circuits(node).empty()) << node;
    EXPECT_TRUE(sim().dataplane(node).rules().empty()) << node;
  }
}

TEST_F(FourDomains, AFullNodeRefusesAndTheOtherPathServes) {
  come_up(1, [](const std::string& node, RouterConfig& config) {
    if (node == "g1") config.dataplane.sizes.rules = 2;  // one transit circuit
  });
  sim().send("d1", "a1");
  ASSERT_TRUE(sim().run_until([&] { return have_circuits(2, "d1", "a1"); }, 3 * kS));
  sim().send("b1", "g1");  // takes g1's last place or finds none
  sim().send("a1", "g1");
  sim().run(5 * kS);
  EXPECT_EQ(circuits("g1").size(), 1u);
  EXPECT_GT(sim().said("g1").signals[3], 0u);
  EXPECT_NE(text_of(sim().log("a1")).find("full"), std::string::npos);
  const auto [sent, arrived] = traffic("d1", "a1", 200 * kMs);
  EXPECT_EQ(arrived, sent);
  expect_nothing_refused();
}

TEST_F(FourDomains, APathThatIsDownIsTakenWhenItIsMended) {
  come_up();
  sim().cut("g1-d1");
  sim().run(500 * kMs);
  sim().send("a1", "d1");
  ASSERT_TRUE(sim().run_until([&] { return have_circuits(1); }, 3 * kS));
  EXPECT_EQ(sim().live_members("a1", "d1")[0].nodes, (Names{"a1", "b1", "b2", "d1"}));
  sim().mend("g1-d1");
  // Other nodes' links are not told about: it is tried again after growing pauses.
  ASSERT_TRUE(sim().run_until([&] { return have_circuits(2); }, 70 * kS));
  for (const MemberSnapshot& member : sim().live_members("a1", "d1")) {
    EXPECT_EQ(member.weight, member.nodes.size() == 3 ? 1 : 0);
  }
}

TEST_F(FourDomains, APrefixMovesToTheNextNodeThatServesIt) {
  Topology topology = four_domains();
  const auto d2 = topology.add_node(*topology.find_domain("delta"), "d2");
  topology.add_link("b2-d2", *topology.find_node("b2"), d2);
  made = std::make_unique<Simulation>(topology, 1);
  sim().start_all();
  ASSERT_TRUE(sim().run_until([&] { return sim().links_up(); }, 10 * kS));
  const Ipv6Address somebody = parse_address("2001:db8:d::77").value().bytes;
  const auto served_by = [&](const std::string& node) {
    return sim().dataplane("a1").group_of(somebody) == sim().dataplane("a1").group_of(sim().address(node));
  };
  EXPECT_TRUE(served_by("d1"));
  sim().send("a1", somebody);
  ASSERT_TRUE(sim().run_until([&] { return delivered("d1") == 1; }, 3 * kS));
  sim().kill_control("d1");
  sim().kill_dataplane("d1");
  const auto reached = [&](const std::string& node) {
    const uint64_t before = delivered(node);
    return sim().run_until(
        [&] {
          sim().send("a1", somebody);
          return delivered(node) > before;
        },
        60 * kS);
  };
  EXPECT_TRUE(reached("d2"));
  EXPECT_TRUE(served_by("d2"));
  EXPECT_FALSE(sim().dataplane("a1").group_of(sim().address("d1")) == sim().dataplane("a1").group_of(somebody));
  sim().run(30 * 60 * kS);
  EXPECT_TRUE(served_by("d2")) << "it stays while nobody answers at d1";
  sim().start("d1");
  EXPECT_TRUE(sim().run_until([&] { return served_by("d1"); }, 120 * kS));
  EXPECT_TRUE(reached("d1"));
}

TEST_F(FourDomains, TrafficMovesWhenALinkIsCutAndNothingIsSignalled) {
  come_up_with_circuits();
  sim().reset_said();
  sim().cut("g1-d1");
  sim().run(1 * kS);
  const auto [sent, arrived] = traffic("a1", "d1", 200 * kMs);
  EXPECT_EQ(arrived, sent);
  EXPECT_EQ(sum_of_setups(), 0u);
  sim().mend("g1-d1");
  const Names before = circuits("g1");
  sim().run(10 * kS);
  EXPECT_TRUE(have_circuits());
  EXPECT_EQ(circuits("g1"), before);
}

TEST_F(FourDomains, ACircuitThatBringsDamageIsGivenUpByBothEnds) {
  come_up_with_circuits();
  const auto route_of = [&](const std::string& node, const std::string& circuit) {
    for (const auto& [id, rule] : sim().dataplane(node).rules())
      if (controlplane::circuit_text(rule.circuit) == circuit) return rule.rule.route_id;
    return kControlRoute;
  };
  const auto circuits = sim().snapshot("a1").circuits;
  const auto found = std::ranges::find(circuits, "d1", &controlplane::CircuitSnapshot::to);
  ASSERT_NE(found, circuits.end());
  const std::string best = found->circuit;
  const RouteId route = route_of("d1", best);
  ASSERT_NE(route, kControlRoute);
  sim().inject("d1", controlplane::DataplaneEvent{InstallMessage::of(CircuitDamagedEvent{.route = route})});
  sim().run(100 * kMs);
  for (const char* node : {"a1", "d1"}) EXPECT_EQ(route_of(node, best), kControlRoute) << node;
  ASSERT_TRUE(sim().run_until([&] { return have_circuits(); }, 5 * kS)) << "another one takes its place";
  sim().inject("d1", controlplane::DataplaneEvent{InstallMessage::of(CircuitDamagedEvent{.route = RouteId{1}})});
}

}  // namespace
}  // namespace sky::sim
