#include "controlplane/install/planner.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace sky::controlplane {
namespace {

constexpr uint64_t kGrace = 1000;

LinkMessage link(uint16_t index, uint32_t peer_index = 1) {
  return {.link = LinkIndex{index}, .peer_index = peer_index, .cookie = index};
}
RuleMessage rule(uint32_t route, CircuitId circuit = {1}) {
  return {.rule = {.route_id = RouteId{route}, .action = RuleAction::forward}, .circuit = circuit};
}
KeyChainMessage chain(uint64_t key_id) {
  return {.owner = KeyOwner::link, .key_id = key_id, .secret = {7}};
}

std::vector<Verb> verbs(const Install& batch) {
  std::vector<Verb> all;
  for (const InstallMessage& message : batch.messages) all.push_back(message.verb);
  return all;
}

class PlannerTest : public testing::Test {
 protected:
  Planner planner{kGrace};

  Install batch() {
    auto next = planner.next_batch();
    EXPECT_TRUE(next);
    return next ? std::move(*next) : Install{};
  }
  std::vector<RefusedMessage> ack(InstallError error = InstallError::none, uint32_t index = 0) {
    return planner.acked({.generation = planner.generation(), .error = error, .index = index});
  }
};

TEST_F(PlannerTest, WantsBecomePutsInTheOrderOfDependency) {
  planner.put(rule(5));
  planner.put(link(2));
  EXPECT_FALSE(planner.next_batch()) << "nobody is attached";
  planner.attach({}, 0);
  planner.put_chain(chain(9));
  EXPECT_EQ(verbs(batch()), (std::vector{Verb::put_link, Verb::put_rule, Verb::put_key_chain}));
  planner.put(link(3));
  EXPECT_FALSE(planner.next_batch()) << "one at a time";
  ack();
  EXPECT_EQ(verbs(batch()), std::vector{Verb::put_link});
  ack();
  EXPECT_FALSE(planner.next_batch());
  planner.put(link(3));
  EXPECT_FALSE(planner.next_batch()) << "it stands as it is";
  planner.put(link(3, 2));
  EXPECT_EQ(batch().messages.at(0).as<LinkMessage>().peer_index, 2u);
}

TEST_F(PlannerTest, DeletesGoInReverse) {
  planner.attach({}, 0);
  planner.put(link(1));
  planner.put(rule(5));
  batch();
  ack();
  planner.erase(link_key(LinkIndex{1}));
  planner.erase(rule_key(RouteId{5}));
  EXPECT_EQ(verbs(batch()), (std::vector{Verb::delete_rule, Verb::delete_link}));
  EXPECT_TRUE(planner.take_gone().empty());
  EXPECT_TRUE(planner.knows(link_key(LinkIndex{1})));
  ack();
  EXPECT_EQ(planner.take_gone(), std::vector{RouteId{5}});
  EXPECT_FALSE(planner.knows(link_key(LinkIndex{1})));
}

TEST_F(PlannerTest, WhatNeverStoodIsGoneAtOnce) {
  planner.attach({}, 0);
  planner.put(rule(5));
  planner.erase(rule_key(RouteId{5}));
  EXPECT_FALSE(planner.next_batch());
  EXPECT_EQ(planner.take_gone(), std::vector{RouteId{5}});
  EXPECT_TRUE(planner.take_gone().empty());
}

TEST_F(PlannerTest, AChangeWhileItIsOnItsWayGoesWithTheNextBatch) {
  planner.attach({}, 0);
  planner.put(rule(5));
  batch();
  planner.erase(rule_key(RouteId{5}));
  ack();
  EXPECT_EQ(verbs(batch()), std::vector{Verb::delete_rule});
  ack();
  EXPECT_EQ(planner.take_gone(), std::vector{RouteId{5}});
}

TEST_F(PlannerTest, WaitersAreToldWhenAllBeforeThemStands) {
  planner.attach({}, 0);
  const Waiter one = CircuitInstalled{{1}};
  const Waiter two = KeysInstalled{KeyOwner::link, 3, 4};
  planner.put(rule(5));
  planner.notify(one);
  batch();
  EXPECT_TRUE(planner.take_done().empty());
  planner.put(rule(6));
  planner.notify(two);
  ack();
  EXPECT_EQ(planner.take_done(), std::vector{one});
  batch();
  EXPECT_TRUE(planner.take_done().empty());
  ack();
  EXPECT_EQ(planner.take_done(), std::vector{two});
  planner.notify(one);
  EXPECT_FALSE(planner.next_batch());
  EXPECT_EQ(planner.take_done(), std::vector{one}) << "nothing to wait for";
}

TEST_F(PlannerTest, WhoAsksOftenIsToldOnce) {
  planner.attach({}, 0);
  const Waiter one = CircuitInstalled{{1}}, two = CircuitInstalled{{2}};
  planner.put(rule(5));
  for (const Waiter& waiter : {two, one, two, one, two}) planner.notify(waiter);
  batch();
  planner.notify(two);  // of after that batch
  ack();
  EXPECT_EQ(planner.take_done(), (std::vector{two, one})) << "in the order they came";
  EXPECT_FALSE(planner.next_batch());
  EXPECT_EQ(planner.take_done(), std::vector{two});
}

TEST_F(PlannerTest, ARefusalDropsTheCulpritAndTriesTheRestAgain) {
  planner.attach({}, 0);
  planner.put(rule(5));
  planner.put(rule(6));
  planner.put(rule(7));
  planner.put_chain(chain(9));
  const Waiter waiter = CircuitInstalled{{1}};
  planner.notify(waiter);
  batch();
  const auto refused = ack(InstallError::occupied, 1);
  ASSERT_EQ(refused.size(), 1u);
  EXPECT_EQ(refused[0].message.as<RuleMessage>().rule.route_id, RouteId{6});
  EXPECT_EQ(refused[0].error, InstallError::occupied);
  EXPECT_TRUE(planner.take_done().empty());
  const Install again = batch();
  EXPECT_EQ(verbs(again), (std::vector{Verb::put_rule, Verb::put_rule, Verb::put_key_chain}));
  EXPECT_EQ(again.messages[2].as<KeyChainMessage>().secret[0], 7);
  EXPECT_EQ(planner.take_gone(), std::vector{RouteId{6}});
  ack();
  EXPECT_EQ(planner.take_done(), std::vector{waiter});
}

TEST_F(PlannerTest, WhatIsRefusedWaitsForTheNextAttachment) {
  planner.attach({}, 0);
  planner.put(rule(5));
  planner.put(rule(6));
  batch();
  ack(InstallError::bad_index, 0);
  EXPECT_EQ(planner.refused(), 1u);
  batch();
  ack();
  EXPECT_FALSE(planner.next_batch());
  planner.erase(rule_key(RouteId{7}));
  planner.attach({InstallMessage::of(rule(6))}, 0);
  EXPECT_EQ(planner.refused(), 0u);
  EXPECT_EQ(batch().messages.at(0).as<RuleMessage>().rule.route_id, RouteId{5});
  ack(InstallError::bad_index, 0);
  planner.erase(rule_key(RouteId{5}));
  EXPECT_EQ(planner.refused(), 0u) << "nobody wants it any more";
}

TEST_F(PlannerTest, ARefusedChainHasNoSecret) {
  planner.attach({}, 0);
  planner.put(link(0));
  planner.put_chain(chain(9));
  batch();
  const auto refused = ack(InstallError::key_seen_before, 1);
  ASSERT_EQ(refused.size(), 1u);
  EXPECT_EQ(refused[0].message.as<KeyChainMessage>().key_id, 9u);
  EXPECT_EQ(refused[0].message.as<KeyChainMessage>().secret, (std::array<uint8_t, 32>{}));
}

TEST_F(PlannerTest, ChainsOfALinkThatGoesGoWithIt) {
  planner.attach({}, 0);
  planner.put(link(0));
  planner.put(link(1));
  batch();
  ack();
  KeyChainMessage other = chain(8);
  other.index = 1;
  planner.put_chain(chain(9));
  planner.put_chain(other);
  planner.erase(link_key(LinkIndex{0}));
  const Install next = batch();
  EXPECT_EQ(verbs(next), (std::vector{Verb::delete_link, Verb::put_key_chain}));
  EXPECT_EQ(next.messages.at(1).as<KeyChainMessage>().key_id, 8u);
}

TEST_F(PlannerTest, WhatIsStillUsedStands) {
  planner.attach({}, 0);
  planner.put(link(1));
  batch();
  ack();
  planner.erase(link_key(LinkIndex{1}));
  batch();
  ack(InstallError::still_used, 0);
  EXPECT_TRUE(planner.knows(link_key(LinkIndex{1}))) << "its index is not free";
  EXPECT_FALSE(planner.next_batch());
}

TEST_F(PlannerTest, ARefusedChangeTakesTheOldRowWithIt) {
  planner.attach({}, 0);
  planner.put(link(1));
  batch();
  ack();
  planner.put(link(1, 2));
  batch();
  ack(InstallError::bad_value, 0);
  EXPECT_EQ(verbs(batch()), std::vector{Verb::delete_link});
}

TEST_F(PlannerTest, AWrongAttachmentWaitsForTheNext) {
  planner.attach({}, 0);
  planner.put(link(1));
  batch();
  EXPECT_TRUE(ack(InstallError::wrong_fence).empty());
  EXPECT_FALSE(planner.next_batch());
  planner.attach({}, 0);
  EXPECT_EQ(verbs(batch()), std::vector{Verb::put_link});
}

TEST_F(PlannerTest, AnAckOfAnotherBatchIsNothing) {
  planner.attach({}, 0);
  planner.put(link(1));
  const Install sent = batch();
  EXPECT_TRUE(planner.acked({.generation = sent.generation + 1, .error = InstallError::bad_value, .index = 0}).empty());
  EXPECT_TRUE(planner.in_flight());
  ack();
  EXPECT_TRUE(planner.acked({.generation = sent.generation, .error = InstallError::bad_value, .index = 0}).empty());
  EXPECT_FALSE(planner.next_batch());
}

TEST_F(PlannerTest, AdoptedRowsAreLeftAsTheyAre) {
  LinkMessage standing = link(1);
  standing.up = 1;
  standing.keyed = 3;
  standing.rx_parity = 1;
  planner.put(link(1));
  planner.put(rule(5));
  planner.attach({InstallMessage::of(standing), InstallMessage::of(rule(5))}, 0);
  EXPECT_FALSE(planner.next_batch());
  EXPECT_EQ(planner.orphans(), 0u);
}

TEST_F(PlannerTest, OrphansAreLeftForAGraceAndThenDeleted) {
  planner.put(link(1));
  planner.attach({InstallMessage::of(link(1)), InstallMessage::of(rule(5)), InstallMessage::of(rule(6))}, 100);
  EXPECT_EQ(planner.orphans(), 2u);
  EXPECT_EQ(planner.next_deadline(), 100 + kGrace);
  planner.tick(100 + kGrace - 1);
  EXPECT_FALSE(planner.next_batch());
  planner.put(rule(6));  // somebody owns it after all
  planner.tick(100 + kGrace);
  const Install deletes = batch();
  EXPECT_EQ(verbs(deletes), std::vector{Verb::delete_rule});
  EXPECT_EQ(deletes.messages[0].as<DeleteMessage>().index, 5u);
  ack();
  EXPECT_EQ(planner.take_gone(), std::vector{RouteId{5}});
  EXPECT_EQ(planner.next_deadline(), kNever);
}

TEST_F(PlannerTest, AnotherDataplaneGetsEverythingAgainButKeys) {
  planner.attach({}, 0);
  planner.put(link(1));
  planner.put(rule(5));
  planner.put_chain(chain(9));
  batch();
  ack();
  planner.erase(rule_key(RouteId{5}));
  planner.put(rule(6));
  planner.put_chain(chain(10));
  planner.notify(KeysInstalled{KeyOwner::link, 1, 10});
  planner.detach();
  planner.attach({}, 0);
  EXPECT_EQ(verbs(batch()), (std::vector{Verb::put_link, Verb::put_rule}));
  EXPECT_EQ(planner.take_gone(), std::vector{RouteId{5}});
  ack();
  EXPECT_TRUE(planner.take_done().empty()) << "chains are lost with their attachment, and so is who waits for them";
}

TEST_F(PlannerTest, WhatWasOnItsWayWhenTheSocketClosedIsComparedAgain) {
  planner.attach({}, 0);
  planner.put(rule(5));
  planner.put(rule(6));
  planner.notify(CircuitInstalled{{1}});
  batch();
  planner.detach();
  planner.attach({InstallMessage::of(rule(5))}, 0);
  const Install rest = batch();
  ASSERT_EQ(rest.messages.size(), 1u);
  EXPECT_EQ(rest.messages[0].as<RuleMessage>().rule.route_id, RouteId{6});
  ack();
  EXPECT_EQ(planner.take_done().size(), 1u);
}

TEST_F(PlannerTest, LargeSetsGoInBatchesThatTheRingHolds) {
  for (uint32_t i = 1; i <= 3 * Planner::kMostInBatch / 2; ++i) planner.put(rule(i));
  planner.put(link(1));
  planner.attach({}, 0);
  planner.put_chain(chain(9));
  planner.notify(CircuitInstalled{{1}});
  const Install first = batch();
  EXPECT_EQ(first.messages.front().verb, Verb::put_link);
  EXPECT_EQ(first.messages.back().verb, Verb::put_key_chain);
  EXPECT_LE(first.messages.size(), Planner::kMostInBatch + 1);
  ack();
  EXPECT_TRUE(planner.take_done().empty());
  EXPECT_EQ(batch().messages.size(), Planner::kMostInBatch / 2 + 1);
  ack();
  EXPECT_EQ(planner.take_done().size(), 1u);
}

TEST(Row, KeysAndDeletesNameTheSameThing) {
  const std::vector<InstallMessage> rows{
      InstallMessage::of(link(3)),
      InstallMessage::of(SessionMessage{.session = SessionIndex{70000}}),
      InstallMessage::of(rule(0xfeedbeef)),
      InstallMessage::of(GroupMessage{.group = GroupIndex{9}}),
      InstallMessage::of(MemberMessage{.slot = 7, .group = GroupIndex{9}}),
      InstallMessage::of(DestinationMessage{.family = Family::ipv4, .length = 24, .prefix = {10, 1, 2}}),
      InstallMessage::of(DestinationMessage{.family = Family::ipv6, .length = 24, .prefix = {10, 1, 2}})};
  std::set<RowKey> keys;
  for (const InstallMessage& row : rows) keys.insert(key_of(row).value());
  EXPECT_EQ(keys.size(), rows.size());
  EXPECT_FALSE(key_of(InstallMessage::of(chain(1))));
  const auto gone = delete_of(key_of(rows[4]).value()).as<DeleteMessage>();
  EXPECT_EQ(gone.verb, Verb::delete_member);
  EXPECT_EQ(gone.index, 9u);
  EXPECT_EQ(gone.slot, 7);
  const auto prefix = delete_of(key_of(rows[5]).value()).as<DeleteMessage>();
  EXPECT_EQ(prefix.verb, Verb::delete_destination);
  EXPECT_EQ(prefix.family, Family::ipv4);
  EXPECT_EQ(prefix.length, 24);
  EXPECT_EQ(prefix.prefix, (Ipv6Address{10, 1, 2}));
  EXPECT_EQ(delete_of(key_of(rows[2]).value()).as<DeleteMessage>().index, 0xfeedbeef);
}

}  // namespace
}  // namespace sky::controlplane
