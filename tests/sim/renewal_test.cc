// Keys are renewed under traffic without a packet lost, and not without traffic.
#include "tests/sim/four_domains.h"

namespace sky::sim {
namespace {

class Renewal : public FourDomains {
 protected:
  static void short_periods(const std::string&, RouterConfig& config) { config.rekey.handshake_ns = 2 * kS; }

  uint64_t session_handshakes(const std::string& node) { return sim().snapshot(node).sessions.at(0).handshakes; }
  /// As the daemon does, for both ends' first members.
  void tell_of_traffic() {
    for (const auto& [from, to] : {std::pair("a1", "d1"), std::pair("d1", "a1")}) {
      for (const uint8_t slot : {0, 1}) {
        sim().inject(from, controlplane::TrafficSeen{*sim().dataplane(from).group_of(sim().address(to)), slot});
      }
    }
  }
};

TEST_F(Renewal, LinksAndSessionsUnderTraffic) {
  come_up_with_circuits(1, short_periods);
  for (int second = 0; second < 30; ++second) {
    tell_of_traffic();
    for (const auto& [from, to] : {std::pair("a1", "d1"), std::pair("d1", "a1")}) {
      const auto [sent, arrived] = traffic(from, to, 500 * kMs, 1 * kMs);
      ASSERT_EQ(arrived, sent) << "from " << from << " in second " << second;
    }
  }
  for (const std::string& node : sim().nodes()) {
    for (const auto& link : sim().snapshot(node).links) {
      EXPECT_GE(link.handshakes, 14u) << node << " " << link.name;
      EXPECT_LE(link.handshakes, 20u) << node << " " << link.name;
      EXPECT_LT(link.key_age_ns, 3 * kS);
    }
  }
  for (const char* node : {"a1", "d1"}) {
    EXPECT_GE(session_handshakes(node), 10u) << node;
    EXPECT_LE(session_handshakes(node), 20u) << node;
  }
  EXPECT_EQ(sim().snapshot("a1").sessions.at(0).key_id, sim().snapshot("d1").sessions.at(0).key_id);
  expect_nothing_refused();
}

TEST_F(Renewal, OneWayTrafficAlone) {
  for (const auto& [from, to] :
       {std::pair(std::string("a1"), std::string("d1")), std::pair(std::string("d1"), std::string("a1"))}) {
    come_up_with_circuits(1, short_periods);
    for (int second = 0; second < 20; ++second) {
      for (const uint8_t slot : {0, 1}) {
        sim().inject(from, controlplane::TrafficSeen{*sim().dataplane(from).group_of(sim().address(to)), slot});
      }
      const auto [sent, arrived] = traffic(from, to, 1 * kS, 1 * kMs);
      ASSERT_EQ(arrived, sent) << "from " << from << " in second " << second;
    }
    EXPECT_GE(session_handshakes(from), 7u) << from;
    // The silent end is at the same keys: its first packet is read.
    const auto [sent, arrived] = traffic(to, from, 20 * kMs, 1 * kMs);
    EXPECT_EQ(arrived, sent);
  }
}

TEST_F(Renewal, ASessionThatNobodyUsedKeepsItsKeys) {
  come_up_with_circuits(1, short_periods);
  const uint64_t before = session_handshakes("a1");
  sim().run(30 * kS);
  EXPECT_EQ(session_handshakes("a1"), before);
  EXPECT_EQ(session_handshakes("d1"), before);
}

TEST_F(Renewal, LossOfMessagesDelaysItAtMost) {
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    come_up_with_circuits(seed, short_periods);
    sim().impairment() = {.loss = 0.3, .duplication = 0.2, .jitter_ns = 20 * kMs};
    for (int second = 0; second < 20; ++second) {
      tell_of_traffic();
      for (const auto& [from, to] : {std::pair("a1", "d1"), std::pair("d1", "a1")}) {
        const auto [sent, arrived] = traffic(from, to, 400 * kMs, 2 * kMs);
        ASSERT_EQ(arrived, sent) << "from " << from << " in second " << second << " of seed " << seed;
      }
    }
    EXPECT_GE(session_handshakes("a1"), 2u) << "seed " << seed;  // pauses between attempts grow
    expect_nothing_refused();
  }
}

TEST_F(Renewal, AControlPlaneThatReturnsRenewsToo) {
  come_up_with_circuits(1, short_periods);
  for (const std::string& node : sim().nodes()) {
    sim().kill_control(node);
    sim().run(100 * kMs);
    sim().start_control(node);
  }
  for (int second = 0; second < 10; ++second) {
    tell_of_traffic();
    for (const auto& [from, to] : {std::pair("a1", "d1"), std::pair("d1", "a1")}) {
      const auto [sent, arrived] = traffic(from, to, 400 * kMs, 2 * kMs);
      ASSERT_EQ(arrived, sent) << "from " << from << " in second " << second;
    }
  }
  EXPECT_GE(session_handshakes("a1"), 2u);
  for (const auto& link : sim().snapshot("g1").links) EXPECT_GE(link.handshakes, 3u) << link.name;
  expect_nothing_refused();
}

}  // namespace
}  // namespace sky::sim
