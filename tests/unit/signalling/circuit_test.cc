#include "controlplane/signalling/circuit.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

#include "controlplane/signalling/admission.h"
#include "tests/unit/signalling/samples.h"

namespace sky::controlplane {
namespace {

constexpr LinkIndex kUp{1};
constexpr LinkIndex kDown{2};

Circuit sample(CircuitRole role) {
  Circuit circuit{.id = sample_setup().circuit, .role = role, .state = CircuitState::up, .treatment = 2, .mtu = 1400};
  circuit.path_hash = hash_of(sample_setup().path);
  if (role != CircuitRole::ingress) circuit.up = {{.link = kUp, .mine = RouteId{0x11}, .theirs = RouteId{0x21}}};
  if (role != CircuitRole::egress) circuit.down = {{.link = kDown, .mine = RouteId{0x12}, .theirs = RouteId{0x22}}};
  if (role != CircuitRole::transit) {
    circuit.send_stream = 32;
    circuit.receive_stream = 48;
    circuit.copied = {.stream = 64, .window = 15};
    circuit.group = GroupIndex{3};
    circuit.slot = 5;
    circuit.hop_limit = 44;
  }
  return circuit;
}

/// The same with a parallel link at every hop.
Circuit protected_sample(CircuitRole role) {
  Circuit circuit = sample(role);
  if (circuit.up.link != kNoLink)
    circuit.up.alternate = {.link = LinkIndex{3}, .mine = RouteId{0x13}, .theirs = RouteId{0x23}};
  if (circuit.down.link != kNoLink)
    circuit.down.alternate = {.link = LinkIndex{4}, .mine = RouteId{0x14}, .theirs = RouteId{0x24}};
  return circuit;
}

TEST(Circuit, TransitRulesSwapBothWaysAndKnowEachOther) {
  const auto rules = sample(CircuitRole::transit).rules({.session = kNoSession, .streams = 0});
  ASSERT_EQ(rules.size(), 2u);
  const Rule& there = rules[0].rule;
  EXPECT_EQ(there.route_id, RouteId{0x11});
  EXPECT_EQ(there.in_link, kUp);
  EXPECT_EQ(there.action, RuleAction::forward);
  EXPECT_EQ(there.next_link, kDown);
  EXPECT_EQ(there.next_route, RouteId{0x22});
  EXPECT_EQ(there.twin, RouteId{0x12});
  const Rule& back = rules[1].rule;
  EXPECT_EQ(back.route_id, RouteId{0x12});
  EXPECT_EQ(back.next_link, kUp);
  EXPECT_EQ(back.next_route, RouteId{0x21});
  EXPECT_EQ(back.twin, RouteId{0x11});
}

TEST(Circuit, EachWayInHasItsRuleAndLeavesByEither) {
  const auto rules = protected_sample(CircuitRole::transit).rules({.session = kNoSession, .streams = 0});
  ASSERT_EQ(rules.size(), 4u);
  for (const unsigned at : {0u, 1u}) {
    const Rule& there = rules[at].rule;
    EXPECT_EQ(there.route_id, RouteId{at == 0 ? 0x11u : 0x13u});
    EXPECT_EQ(there.in_link, at == 0 ? kUp : LinkIndex{3});
    EXPECT_EQ(there.next_link, kDown);
    EXPECT_EQ(there.next_route, RouteId{0x22});
    EXPECT_EQ(there.alternate_link, LinkIndex{4});
    EXPECT_EQ(there.alternate_route, RouteId{0x24});
    EXPECT_EQ(there.twin, RouteId{0x12});
  }
  Circuit unanswered = protected_sample(CircuitRole::transit);
  unanswered.down.alternate.theirs = RouteId{};
  EXPECT_EQ(unanswered.rules({.session = kNoSession, .streams = 0})[0].rule.alternate_link, kNoLink);
}

TEST(Circuit, AnEndConsumesByBothWaysAndItsMemberTakesEither) {
  for (const CircuitRole role : {CircuitRole::ingress, CircuitRole::egress}) {
    const Circuit circuit = protected_sample(role);
    const auto rules = circuit.rules({.session = SessionIndex{7}, .streams = 4});
    ASSERT_EQ(rules.size(), 2u);
    const Way& second = circuit.leg().alternate;
    EXPECT_EQ(rules[1].rule.route_id, second.mine);
    EXPECT_EQ(rules[1].rule.in_link, second.link);
    EXPECT_EQ(rules[1].rule.twin, second.theirs) << "an answer goes back the way it came";
    EXPECT_EQ(rules[1].rule.stream, rules[0].rule.stream);
    const MemberMessage member = circuit.member(SessionIndex{7}, 1);
    EXPECT_EQ(member.alternate_link, second.link);
    EXPECT_EQ(member.alternate_route, second.theirs);
    EXPECT_EQ(member.alternate_consume, second.mine);
  }
}

TEST(Circuit, AnEndConsumesAndIsAMember) {
  for (const CircuitRole role : {CircuitRole::ingress, CircuitRole::egress}) {
    const Circuit circuit = sample(role);
    const auto rules = circuit.rules({.session = SessionIndex{7}, .streams = 4});
    ASSERT_EQ(rules.size(), 1u);
    const Rule& rule = rules[0].rule;
    EXPECT_EQ(rule.action, RuleAction::consume);
    EXPECT_EQ(rule.twin, circuit.leg().theirs);
    EXPECT_EQ(rule.session, SessionIndex{7});
    EXPECT_EQ(rule.stream, 48);
    EXPECT_EQ(rule.streams, 4);
    const bool sends = role == CircuitRole::ingress;
    EXPECT_EQ(rules[0].copied, sends ? 0 : copied_word(circuit.copied)) << "copies go towards the egress";
    const MemberMessage member = circuit.member(SessionIndex{7}, 1);
    EXPECT_EQ(member.copied, sends ? copied_word(circuit.copied) : 0);
    EXPECT_EQ(member.route, rule.twin);
    EXPECT_EQ(member.consume, rule.route_id);
    EXPECT_EQ(member.link, rule.in_link);
    EXPECT_EQ(member.stream, 32);
  }
}

CircuitRows rows_of(const Circuit& circuit) {
  CircuitRows rows{.rules = circuit.rules({.session = circuit.is_end() ? SessionIndex{7} : kNoSession, .streams = 4}),
                   .member = {}};
  if (circuit.is_end()) rows.member = circuit.member(SessionIndex{7}, 1);
  return rows;
}

TEST(Circuit, IsRecoveredFromItsRows) {
  for (const CircuitRole role : {CircuitRole::ingress, CircuitRole::transit, CircuitRole::egress})
    for (const bool alternates : {false, true}) {
      const Circuit circuit = alternates ? protected_sample(role) : sample(role);
      CircuitRows rows = rows_of(circuit);
      for (int order = 0; order < 2; ++order) {
        const auto back = recover(rows);
        ASSERT_TRUE(back) << name_of(role);
        EXPECT_EQ(back->id, circuit.id);
        EXPECT_EQ(back->role, role);
        EXPECT_EQ(back->up, circuit.up);
        EXPECT_EQ(back->down, circuit.down);
        EXPECT_EQ(back->path_hash, circuit.path_hash);
        EXPECT_EQ(back->group, circuit.group);
        EXPECT_EQ(back->slot, circuit.slot);
        EXPECT_EQ(back->copied, circuit.copied);
        if (role == CircuitRole::ingress) {
          const MemberMessage member = back->member(SessionIndex{7}, 1);
          EXPECT_EQ(memcmp(&*rows.member, &member, sizeof(MemberMessage)), 0);
        }
        const auto again = back->rules({.session = circuit.is_end() ? SessionIndex{7} : kNoSession, .streams = 4});
        ASSERT_EQ(again.size(), rows.rules.size());
        const size_t same = order == 0 ? 0 : again.size() - 1;
        EXPECT_EQ(memcmp(&again[0], &rows.rules[same], sizeof(RuleMessage)), 0) << "nothing to install";
        std::ranges::reverse(rows.rules);
      }
    }
}

TEST(Circuit, HalfACircuitIsNone) {
  CircuitRows rows = rows_of(sample(CircuitRole::transit));
  EXPECT_TRUE(recover(rows));
  const CircuitRows one{.rules = {rows.rules[0]}, .member = {}};
  EXPECT_FALSE(recover(one)) << "one rule of two";
  CircuitRows twice{.rules = {rows.rules[0], rows.rules[0]}, .member = {}};
  EXPECT_FALSE(recover(twice)) << "the same direction twice";
  CircuitRows strangers = rows;
  strangers.rules[1].rule.twin = RouteId{99};
  EXPECT_FALSE(recover(strangers)) << "not each other's twins";
  strangers = rows;
  strangers.rules[1].rule.in_link = LinkIndex{9};
  EXPECT_FALSE(recover(strangers)) << "not the same two links";
  strangers = rows;
  strangers.rules[1].cookie ^= 8;
  EXPECT_FALSE(recover(strangers)) << "other paths";
  EXPECT_FALSE(recover({.rules = {}, .member = rows_of(sample(CircuitRole::egress)).member})) << "a member alone";
  CircuitRows end = rows_of(sample(CircuitRole::ingress));
  end.member->consume = RouteId{99};
  EXPECT_FALSE(recover(end)) << "a member with another rule";
  end = rows_of(sample(CircuitRole::ingress));
  end.member.reset();
  EXPECT_FALSE(recover(end)) << "an ingress that sends nothing";
  end = rows_of(sample(CircuitRole::egress));
  end.member.reset();
  EXPECT_TRUE(recover(end)) << "an egress whose group had no room";
  end.rules[0].cookie &= 7;
  EXPECT_FALSE(recover(end)) << "a cookie of nobody";
  rows = rows_of(protected_sample(CircuitRole::transit));
  std::erase_if(rows.rules, [](const RuleMessage& row) { return row.rule.route_id == RouteId{0x11}; });
  EXPECT_FALSE(recover(rows)) << "an alternate of nothing";
}

TEST(Circuit, ASetupFitsWhatIsKnown) {
  const auto setup = sample_setup();
  Circuit circuit = sample(CircuitRole::transit);
  EXPECT_TRUE(circuit.fits(setup, kUp)) << "adopted: the path's hash tells";
  EXPECT_FALSE(circuit.fits(setup, kDown)) << "another neighbour";
  circuit.path = setup.path;
  circuit.hop = setup.hop;
  EXPECT_TRUE(circuit.fits(setup, kUp));
  auto other = setup;
  other.hop = 2;
  EXPECT_FALSE(circuit.fits(other, kUp)) << "another place";
  other = setup;
  other.path[3].link = link_id("elsewhere");
  EXPECT_FALSE(circuit.fits(other, kUp)) << "another path";
  circuit.path.clear();
  EXPECT_FALSE(circuit.fits(other, kUp)) << "another path than the hash says";
  EXPECT_FALSE(sample(CircuitRole::ingress).fits(setup, kDown)) << "this node's own";

  Circuit end = sample(CircuitRole::egress);
  end.peer = setup.path.front().address;
  end.receive_stream = setup.stream_to_egress;
  end.send_stream = setup.stream_to_ingress;
  EXPECT_TRUE(end.fits(setup, kUp));
  end.send_stream += kStreamsPerCircuit;
  EXPECT_FALSE(end.fits(setup, kUp)) << "another stream";
}

TEST(Admission, ThePathMustComeTheWayItSays) {
  const auto setup = sample_setup();
  const SetupOrigin good{.self = sample_address(1), .neighbour = sample_address(0), .link = link_id("link1")};
  EXPECT_EQ(misplaced(setup, good), "");
  SetupOrigin wrong = good;
  wrong.self = sample_address(2);
  EXPECT_NE(misplaced(setup, wrong), "");
  wrong = good;
  wrong.neighbour = sample_address(3);
  EXPECT_NE(misplaced(setup, wrong), "");
  wrong = good;
  wrong.link = link_id("link2");
  EXPECT_NE(misplaced(setup, wrong), "");
}

TEST(Admission, RatesFitTheBudgetOfTheirLink) {
  Admission admission({1000, 64}, AdmissionLimits::of(1 << 20));
  const LinkIndex wide{0}, narrow{1};
  EXPECT_TRUE(admission.take_rate(wide, 600));
  EXPECT_FALSE(admission.take_rate(wide, 401));
  EXPECT_TRUE(admission.take_rate(wide, 400));
  EXPECT_FALSE(admission.take_rate(narrow, 65));
  EXPECT_TRUE(admission.take_rate(narrow, 0)) << "another queue's";
  admission.free_rate(wide, 600);
  EXPECT_TRUE(admission.take_rate(wide, 600));
  admission.add_rate(narrow, 100);  // stands already
  EXPECT_FALSE(admission.take_rate(narrow, 1));
  admission.free_rate(narrow, 100);
  EXPECT_TRUE(admission.take_rate(narrow, 64));
}

TEST(Admission, CapQuotaAndRation) {
  Admission admission({1000, 1000},
                      {.most_circuits = 5, .most_of_neighbour = 4, .setups = {.per_second = 1, .burst = 6}});
  const LinkIndex one{0};
  const LinkIndex other{1};
  for (int i = 0; i < 4; ++i) EXPECT_EQ(admission.admit(one, 0), CircuitReason::none);
  EXPECT_EQ(admission.admit(one, 0), CircuitReason::quota);
  EXPECT_EQ(admission.admit(other, 0), CircuitReason::none);
  EXPECT_EQ(admission.admit(other, 0), CircuitReason::full);
  EXPECT_FALSE(admission.has_room());
  admission.remove(one);
  EXPECT_EQ(admission.admit(one, 0), CircuitReason::none);
  admission.remove(one);
  EXPECT_EQ(admission.admit(one, 0), CircuitReason::none);
  admission.remove(one);
  EXPECT_EQ(admission.admit(one, 0), CircuitReason::too_fast);
  EXPECT_EQ(admission.admit(other, 0), CircuitReason::none) << "another neighbour's ration is its own";
  admission.remove(other);
  EXPECT_EQ(admission.admit(one, 1'000'000'000), CircuitReason::none);
}

}  // namespace
}  // namespace sky::controlplane
