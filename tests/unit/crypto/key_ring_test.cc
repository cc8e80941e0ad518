// The state machines one step at a time. Each test's clock moves by hand; quiescence follows one round behind unless
// the test holds it back.
#include "dataplane/crypto/key_ring.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/unit/crypto/pattern_engine.h"

namespace sky::dataplane {
namespace {

constexpr uint64_t kSecond = 1'000'000'000;
constexpr uint64_t kTick = kSecond / 100;
using Secret = std::array<uint8_t, kChainSecretBytes>;

Secret secret_of(uint8_t seed) {
  Secret secret;
  secret.fill(seed);
  return secret;
}

struct Expected {
  PatternEngine::Key key;
  Salt salt;
};

Expected epoch_of(const Secret& secret, unsigned step) {
  KeyChain chain;
  chain.start(secret);
  for (unsigned i = 0; i < step; ++i) chain.next();
  const EpochKey epoch = chain.next();
  return {epoch.key, epoch.salt};
}

bool zero(const KeySlot& slot) {
  return slot.salt == Salt{} && slot.generation == 0 &&
         std::ranges::all_of(slot.key.expanded, [](uint8_t byte) { return byte == 0; });
}

void expect_holds(const KeySlot& slot, const Secret& secret, unsigned parity, unsigned step) {
  const Expected expected = epoch_of(secret, step);
  EXPECT_EQ(expected.key, PatternEngine::key_in(slot.key)) << "step " << step;
  EXPECT_EQ(expected.salt, slot.salt);
  EXPECT_EQ(link_epoch(parity, step), slot.epoch);
  EXPECT_NE(0u, slot.generation);
  EXPECT_FALSE(slot.seen);
}

class Ring : public testing::Test {
 protected:
  PatternEngine engine_;
  KeyPolicy policy_ = KeyPolicy::of_age(120 * kSecond, 1);
  KeyIdMemories seen_;
  uint64_t now_ns_ = kSecond;
  bool workers_stuck_ = false;
  uint64_t quiesced_ns_ = 0;

  Round round() {
    if (!workers_stuck_) quiesced_ns_ = now_ns_;
    now_ns_ += kTick;
    return {now_ns_, quiesced_ns_};
  }
};

class Receive : public Ring {
 protected:
  ReceiveKeys keys_;
  ReceiveRing ring_{keys_, engine_, policy_, seen_.receive};

  [[nodiscard]] bool put(uint64_t id, unsigned parity, uint8_t seed) {
    return ring_.put_chain(id, parity, secret_of(seed), round());
  }
  void run(uint64_t duration_ns) {
    for (const uint64_t end_ns = now_ns_ + duration_ns; now_ns_ < end_ns;) ring_.tick(round());
  }
  KeySlot& slot(unsigned parity, uint32_t step) { return keys_.slots[slot_index(parity, step)]; }
};

TEST_F(Receive, AChainIsReadyAtOnceWithTwoEpochs) {
  EXPECT_FALSE(ring_.ready());
  EXPECT_TRUE(put(7, 1, 0x11));
  EXPECT_TRUE(ring_.ready());
  EXPECT_EQ(7u, ring_.newest_key_id());
  expect_holds(slot(1, 0), secret_of(0x11), 1, 0);
  expect_holds(slot(1, 1), secret_of(0x11), 1, 1);
  EXPECT_NE(slot(1, 0).generation, slot(1, 1).generation);
  EXPECT_EQ(&slot(1, 0), keys_.for_link(0x80));
  EXPECT_EQ(&slot(1, 1), keys_.for_link(0x81));
  EXPECT_EQ(nullptr, keys_.for_link(0x00));
  EXPECT_EQ(nullptr, keys_.for_link(0x82));
}

TEST_F(Receive, AKeyIdSeenBeforeIsRefusedAndChangesNothing) {
  ASSERT_TRUE(put(7, 0, 0x11));
  EXPECT_TRUE(seen_.receive.knows(7));
  EXPECT_FALSE(put(7, 0, 0x22));
  EXPECT_FALSE(put(7, 1, 0x22));
  expect_holds(slot(0, 0), secret_of(0x11), 0, 0);
  EXPECT_EQ(nullptr, keys_.for_link(0x80));
}

TEST_F(Receive, AnotherRingsKeyIdsAreRefusedToo) {
  ASSERT_TRUE(put(7, 0, 0x11));
  ReceiveKeys keys;
  ReceiveRing other(keys, engine_, policy_, seen_.receive);
  EXPECT_FALSE(other.put_chain(7, 0, secret_of(0x11), round()));
}

TEST(KeyIds, TheNewestAreRemembered) {
  KeyIdMemory memory;
  for (uint64_t id = 0; id < KeyIdMemory::kMost + 1; ++id) memory.remember(id);
  memory.remember(KeyIdMemory::kMost);
  EXPECT_FALSE(memory.knows(0));
  for (uint64_t id = 1; id < KeyIdMemory::kMost + 1; ++id) ASSERT_TRUE(memory.knows(id)) << id;
}

TEST_F(Receive, NothingMovesUntilTheNextEpochIsSeen) {
  ASSERT_TRUE(put(7, 0, 0x11));
  slot(0, 0).mark_seen();
  run(300 * kSecond);
  EXPECT_NE(nullptr, keys_.for_link(0));
  EXPECT_NE(nullptr, keys_.for_link(1));
}

TEST_F(Receive, AFrameOfTheEpochBeforeIsNotTakenForOneOfTheEpochAfter) {
  ASSERT_TRUE(put(7, 0, 0x11));
  slot(0, 0).mark_seen();
  slot(0, 1).mark_seen();
  run(kTick);
  workers_stuck_ = true;
  run(10 * kSecond);
  workers_stuck_ = false;
  run(10 * kSecond);
  EXPECT_NE(nullptr, keys_.for_link(1));
  expect_holds(slot(0, 2), secret_of(0x11), 0, 2);
}

TEST_F(Receive, TheOldEpochStaysForTheHoldThenMakesRoom) {
  ASSERT_TRUE(put(7, 0, 0x11));
  const uint64_t old_generation = slot(0, 0).generation;
  slot(0, 1).mark_seen();
  run(policy_.hold_ns);
  EXPECT_NE(nullptr, keys_.for_link(0));
  run(2 * kTick);
  EXPECT_EQ(nullptr, keys_.for_link(0));
  run(2 * kTick);
  EXPECT_EQ(&slot(0, 2), keys_.for_link(2));
  expect_holds(slot(0, 2), secret_of(0x11), 0, 2);
  EXPECT_GT(slot(0, 2).generation, old_generation);
  EXPECT_NE(nullptr, keys_.for_link(1));
}

TEST_F(Receive, AWithdrawnKeyStaysWholeUntilWorkersWereQuiescent) {
  ASSERT_TRUE(put(7, 0, 0x11));
  slot(0, 1).mark_seen();
  run(kTick);
  workers_stuck_ = true;
  run(10 * kSecond);
  EXPECT_EQ(nullptr, keys_.for_link(0)) << "no new reader";
  EXPECT_EQ(epoch_of(secret_of(0x11), 0).key, PatternEngine::key_in(slot(0, 0).key));
  EXPECT_TRUE(PatternEngine::whole(slot(0, 0).key));
  workers_stuck_ = false;
  run(2 * kTick);
  expect_holds(slot(0, 2), secret_of(0x11), 0, 2);
}

TEST_F(Receive, OldChainGoesAHoldAfterTheNewOnesFirstFrame) {
  ASSERT_TRUE(put(7, 0, 0x11));
  slot(0, 0).mark_seen();
  ASSERT_TRUE(put(8, 1, 0x22));
  run(100 * kSecond);
  EXPECT_FALSE(ring_.heard(8));
  EXPECT_EQ(0u, ring_.used_parity());
  EXPECT_NE(nullptr, keys_.for_link(0)) << "the peer may not have the new chain yet";
  slot(1, 0).mark_seen();
  run(policy_.hold_ns);
  EXPECT_TRUE(ring_.heard(8));
  EXPECT_FALSE(ring_.heard(7));
  EXPECT_EQ(1u, ring_.used_parity());
  EXPECT_NE(nullptr, keys_.for_link(0));
  run(3 * kTick);
  EXPECT_EQ(nullptr, keys_.for_link(0));
  EXPECT_EQ(nullptr, keys_.for_link(1));
  EXPECT_TRUE(zero(slot(0, 0)));
  EXPECT_TRUE(zero(slot(0, 1)));
  EXPECT_NE(nullptr, keys_.for_link(0x80));
}

TEST_F(Receive, AChainThatIsHeardByItsSecondEpochFirstIsHeard) {
  ASSERT_TRUE(put(7, 0, 0x11));
  slot(0, 1).mark_seen();
  run(kTick);
  EXPECT_TRUE(ring_.heard(7));
}

TEST_F(Receive, TheOldChainStepsOnWhileTheNewOneIsNotHeard) {
  ASSERT_TRUE(put(7, 0, 0x11));
  ASSERT_TRUE(put(8, 1, 0x22));
  for (uint32_t step = 1; step < 20; ++step) {
    slot(0, step).mark_seen();
    run(policy_.hold_ns + 5 * kTick);
    ASSERT_NE(nullptr, keys_.for_link(link_epoch(0, step + 1))) << step;
  }
  expect_holds(slot(1, 0), secret_of(0x22), 1, 0);
}

TEST_F(Receive, AChainOfTheSameParityIsReplacedAfterAQuiescence) {
  ASSERT_TRUE(put(7, 0, 0x11));
  workers_stuck_ = true;
  ASSERT_TRUE(put(8, 0, 0x22));
  ASSERT_TRUE(put(9, 0, 0x33));
  EXPECT_FALSE(ring_.ready());
  EXPECT_EQ(nullptr, keys_.for_link(0));
  run(kSecond);
  EXPECT_FALSE(ring_.ready());
  workers_stuck_ = false;
  run(2 * kTick);
  EXPECT_TRUE(ring_.ready());
  expect_holds(slot(0, 0), secret_of(0x33), 0, 0);
  expect_holds(slot(0, 1), secret_of(0x33), 0, 1);
}

TEST_F(Receive, ClearLeavesNothingBehind) {
  ASSERT_TRUE(put(7, 0, 0x11));
  ASSERT_TRUE(put(8, 1, 0x22));
  ring_.clear(now_ns_);
  EXPECT_FALSE(ring_.empty());
  run(2 * kTick);
  EXPECT_TRUE(ring_.empty());
  EXPECT_FALSE(ring_.newest_key_id().has_value());
  for (const KeySlot& slot : keys_.slots) EXPECT_TRUE(zero(slot));
}

class Send : public Ring {
 protected:
  SendKeys keys_;
  SendRing ring_{keys_, engine_, policy_, seen_.send};
  SendUse use_{.frames = 1, .bytes = 100};

  [[nodiscard]] bool put(uint64_t id, unsigned parity, uint8_t seed, bool wait = false) {
    return ring_.put_chain(id, parity, secret_of(seed), wait, round());
  }
  void run(uint64_t duration_ns) {
    for (const uint64_t end_ns = now_ns_ + duration_ns; now_ns_ < end_ns;) {
      ring_.tick(round(), use_);
    }
  }
  void expect_current(uint8_t seed, unsigned parity, unsigned step) {
    ASSERT_NE(nullptr, keys_.now());
    expect_holds(*keys_.now(), secret_of(seed), parity, step);
    EXPECT_EQ(slot_index(parity, step), keys_.current);
    EXPECT_EQ(ring_.generation(), keys_.now()->generation);
  }
};

TEST_F(Send, AChainIsCurrentAtOnce) {
  EXPECT_EQ(0u, ring_.generation());
  EXPECT_TRUE(put(7, 1, 0x11));
  EXPECT_EQ(7u, ring_.current_key_id());
  EXPECT_EQ(1u, ring_.current_parity());
  expect_current(0x11, 1, 0);
}

TEST_F(Send, AKeyIdSeenBeforeIsRefusedAndChangesNothing) {
  ASSERT_TRUE(put(7, 0, 0x11));
  EXPECT_FALSE(put(7, 1, 0x22));
  EXPECT_FALSE(put(7, 1, 0x22, true));
  EXPECT_FALSE(ring_.waits_for().has_value());
  run(kSecond);
  expect_current(0x11, 0, 0);
}

TEST_F(Send, AWaitingChainBecomesCurrentWhenItsPeerIsHeard) {
  ASSERT_TRUE(put(7, 0, 0x11));
  ASSERT_TRUE(put(8, 1, 0x22, true));
  EXPECT_EQ(8u, ring_.waits_for());
  ring_.confirm(7);
  run(kSecond);
  expect_current(0x11, 0, 0);
  ring_.confirm(8);
  run(kTick);
  expect_current(0x22, 1, 0);
  EXPECT_FALSE(ring_.waits_for().has_value());
  run(3 * kTick);
  EXPECT_TRUE(zero(keys_.slots[0]));
  EXPECT_TRUE(zero(keys_.slots[1]));
}

TEST_F(Send, ALaterChainReplacesOneThatStillWaits) {
  ASSERT_TRUE(put(7, 0, 0x11));
  ASSERT_TRUE(put(8, 1, 0x22, true));
  ASSERT_TRUE(put(9, 1, 0x33, true));
  ring_.confirm(8);
  run(kTick);
  expect_current(0x11, 0, 0);
  ring_.confirm(9);
  run(kTick);
  expect_current(0x33, 1, 0);
}

TEST_F(Send, StepsAtItsAgeOfUseAndNotBefore) {
  ASSERT_TRUE(put(7, 0, 0x11));
  use_.frames = 0;
  run(1000 * kSecond);
  expect_current(0x11, 0, 0);
  use_.frames = 1;
  run(policy_.age_ns);
  expect_current(0x11, 0, 0);
  run(2 * kTick);
  expect_current(0x11, 0, 1);
}

TEST_F(Send, DoesNotStepWhileThePeerDoesNotHear) {
  ASSERT_TRUE(put(7, 0, 0x11));
  use_.peer_hears = false;
  run(2 * policy_.age_ns);
  expect_current(0x11, 0, 0);
  use_.peer_hears = true;
  run(kTick);
  expect_current(0x11, 0, 1);
}

TEST_F(Send, StepsOnBytesAndOnFramesButNotFasterThanReceiversFollow) {
  ASSERT_TRUE(put(7, 0, 0x11));
  use_.bytes = policy_.step_bytes;
  run(policy_.hold_ns * 3 / 2);
  expect_current(0x11, 0, 0);
  run(2 * kTick);
  expect_current(0x11, 0, 1);
  use_ = {.frames = policy_.step_frames, .bytes = 0};
  run(policy_.hold_ns * 3 / 2 + 2 * kTick);
  expect_current(0x11, 0, 2);
}

TEST_F(Send, BytesAreSharedOutOverLanes) {
  const KeyPolicy policy = KeyPolicy::of_age(120 * kSecond, 4);
  EXPECT_EQ(policy.stop_bytes / 4, policy.seal_limits(kLinkCounters).bytes);
  SendRing ring(keys_, engine_, policy, seen_.send);
  ASSERT_TRUE(ring.put_chain(1, 0, secret_of(1), false, round()));
  const SendUse use{.frames = 1, .bytes = policy.step_bytes / 4};
  ring.tick(round(), use);
  now_ns_ += 2 * policy.hold_ns;
  ring.tick(round(), use);
  EXPECT_EQ(1u, keys_.current);
}

TEST_F(Send, AStepLeavesTheOldKeyWholeUntilWorkersWereQuiescent) {
  ASSERT_TRUE(put(7, 0, 0x11));
  run(policy_.age_ns);
  workers_stuck_ = true;
  run(10 * kTick);
  expect_current(0x11, 0, 1);
  EXPECT_EQ(epoch_of(secret_of(0x11), 0).key, PatternEngine::key_in(keys_.slots[0].key));
  run(10 * policy_.age_ns);
  expect_current(0x11, 0, 1);
  workers_stuck_ = false;
  run(3 * kTick);
  expect_current(0x11, 0, 2);
}

TEST_F(Send, GenerationsRiseAlthoughTheNewChainWasPutBeforeTheOldOneStepped) {
  ASSERT_TRUE(put(7, 0, 0x11));
  ASSERT_TRUE(put(8, 1, 0x22, true));
  SealCounter counter;
  const SealLimits limits = policy_.seal_limits(kLinkCounters);
  uint64_t last = 0;
  for (int i = 0; i < 5; ++i) {
    EXPECT_GT(ring_.generation(), last);
    last = ring_.generation();
    EXPECT_EQ(0u, counter.next(last, 1, limits));
    run(policy_.age_ns + 2 * kTick);
  }
  ring_.confirm(8);
  run(kTick);
  EXPECT_EQ(8u, ring_.current_key_id());
  EXPECT_EQ(0u, counter.next(ring_.generation(), 1, limits));
}

TEST_F(Send, AChainOfTheCurrentParityPausesSendingForOneQuiescence) {
  ASSERT_TRUE(put(7, 0, 0x11));
  workers_stuck_ = true;
  ASSERT_TRUE(put(8, 0, 0x22));
  run(kSecond);
  EXPECT_EQ(nullptr, keys_.now());
  EXPECT_EQ(epoch_of(secret_of(0x11), 0).key, PatternEngine::key_in(keys_.slots[0].key));
  ASSERT_TRUE(put(9, 0, 0x33)) << "a third one in between";
  workers_stuck_ = false;
  run(2 * kTick);
  expect_current(0x33, 0, 0);
}

TEST_F(Send, AChainPutWhileOneOfItsTwoSlotsIsFreeWaitsForBoth) {
  ASSERT_TRUE(put(7, 0, 0x11));
  run(policy_.age_ns);
  workers_stuck_ = true;
  run(2 * kTick);
  expect_current(0x11, 0, 1);
  const uint64_t after_the_step_ns = now_ns_;
  ASSERT_TRUE(put(8, 0, 0x22));
  quiesced_ns_ = after_the_step_ns;
  run(kTick);
  EXPECT_EQ(nullptr, keys_.now());
  ASSERT_TRUE(put(9, 0, 0x33));
  workers_stuck_ = false;
  run(3 * kTick);
  expect_current(0x33, 0, 0);
}

TEST_F(Send, ManyChainsFollowEachOtherFasterThanWorkersQuiesce) {
  workers_stuck_ = true;
  for (uint64_t id = 1; id <= 60; ++id) ASSERT_TRUE(put(id, id % 2, static_cast<uint8_t>(id)));
  workers_stuck_ = false;
  run(5 * kTick);
  expect_current(60, 0, 0);
}

TEST_F(Send, AChainThatNobodyRenewsStops) {
  policy_.headless_ns = 1000 * kSecond;
  ASSERT_TRUE(put(7, 0, 0x11));
  run(999 * kSecond);
  EXPECT_NE(nullptr, keys_.now());
  EXPECT_GE(ring_.chain_age_ns(now_ns_), 998 * kSecond);
  run(2 * kSecond);
  EXPECT_EQ(nullptr, keys_.now());
  EXPECT_TRUE(ring_.empty());
  ASSERT_TRUE(put(8, 0, 0x22));
  expect_current(0x22, 0, 0);
}

TEST_F(Send, ClearLeavesNothingBehind) {
  ASSERT_TRUE(put(7, 0, 0x11));
  ASSERT_TRUE(put(8, 1, 0x22, true));
  ring_.clear(now_ns_);
  EXPECT_EQ(nullptr, keys_.now());
  run(2 * kTick);
  EXPECT_TRUE(ring_.empty());
  ring_.confirm(8);
  run(kSecond);
  EXPECT_EQ(nullptr, keys_.now());
  for (const KeySlot& slot : keys_.slots) EXPECT_TRUE(zero(slot));
}

TEST_F(Send, ClearWipesTheSecretOfAChainThatWaits) {
  const Secret secret = secret_of(0x77);
  const auto in_ring = [&] {
    const std::span memory(reinterpret_cast<const uint8_t*>(&ring_), sizeof ring_);
    return std::search_n(memory.begin(), memory.end(), 16, secret[0]) != memory.end();
  };
  ASSERT_TRUE(put(7, 0, 0x77, true));
  EXPECT_TRUE(in_ring());
  ring_.clear(now_ns_);
  EXPECT_FALSE(in_ring());
}

TEST_F(Send, UseIsThatOfTheBusiestLane) {
  SealCounter a, b;
  a.next(5, 70, policy_.seal_limits(kLinkCounters));
  b.next(5, 30, policy_.seal_limits(kLinkCounters));
  b.next(5, 30, policy_.seal_limits(kLinkCounters));
  SendUse use;
  use.add(a, 5);
  use.add(b, 5);
  EXPECT_EQ(2u, use.frames);
  EXPECT_EQ(70u, use.bytes);
}

TEST_F(Ring, ARespondersSendChainFollowsItsReceiveChain) {
  ReceiveKeys receive_keys;
  SendKeys send_keys;
  KeyRing ring(receive_keys, send_keys, engine_, policy_, seen_);
  ASSERT_TRUE(ring.receive.put_chain(7, 0, secret_of(1), round()));
  ASSERT_TRUE(ring.send.put_chain(7, 1, secret_of(2), true, round()));
  for (int i = 0; i < 10; ++i) ring.tick(round(), {});
  EXPECT_EQ(nullptr, send_keys.now());
  receive_keys.slots[0].mark_seen();
  ring.tick(round(), {});
  EXPECT_EQ(&send_keys.slots[2], send_keys.now());
  ring.clear(now_ns_);
  ring.tick(round(), {});
  ring.tick(round(), {});
  EXPECT_TRUE(ring.empty());
}

}  // namespace
}  // namespace sky::dataplane
