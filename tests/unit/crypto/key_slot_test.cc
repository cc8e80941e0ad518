#include "dataplane/crypto/key_slot.h"

#include <gtest/gtest.h>

namespace sky::dataplane {
namespace {

constexpr SealLimits kWide{.frames = kLinkCounters, .bytes = UINT64_MAX};

TEST(SlotIndex, AgreesBetweenLinkEpochAndSessionEpoch) {
  for (unsigned parity : {0u, 1u}) {
    for (uint32_t step = 0; step < 1000; ++step) {
      const uint8_t epoch = link_epoch(parity, step);
      EXPECT_EQ(parity, epoch >> 7);
      EXPECT_EQ(step % 128, epoch & 127u);
      EXPECT_EQ(parity * 2 + step % 2, slot_index(epoch));
      EXPECT_EQ(slot_index(parity, step), slot_index(epoch));
    }
  }
}

TEST(ReceiveKeys, FindsOnlyLiveSlotsOfThatVeryEpoch) {
  ReceiveKeys keys;
  EXPECT_EQ(nullptr, keys.for_link(0));
  EXPECT_EQ(nullptr, keys.for_session(0));
  KeySlot& slot = keys.slots[slot_index(1, 3)];
  slot.epoch = link_epoch(1, 3);
  EXPECT_EQ(nullptr, keys.for_link(link_epoch(1, 3)));
  slot.live = true;
  EXPECT_EQ(&slot, keys.for_link(link_epoch(1, 3)));
  EXPECT_EQ(nullptr, keys.for_link(link_epoch(1, 1))) << "two steps earlier, the same slot";
  EXPECT_EQ(nullptr, keys.for_link(link_epoch(0, 3)));
  EXPECT_EQ(&slot, keys.for_session(3));
}

TEST(SendKeys, NothingIsCurrentAtFirst) {
  SendKeys keys;
  EXPECT_EQ(nullptr, keys.now());
  keys.current = 2;
  EXPECT_EQ(&keys.slots[2], keys.now());
}

TEST(SealCounter, RestartsWithANewerKeyAndRefusesAnOlder) {
  SealCounter counter;
  EXPECT_EQ(0u, counter.next(5, 100, kWide));
  EXPECT_EQ(1u, counter.next(5, 100, kWide));
  EXPECT_EQ(0u, counter.next(9, 100, kWide));
  EXPECT_EQ(SealCounter::kStopped, counter.next(5, 100, kWide));
  EXPECT_EQ(1u, counter.next(9, 100, kWide)) << "a refusal must cost no counter";
}

TEST(SealCounter, StopsAtTheCounterLimitForGood) {
  SealCounter counter;
  const SealLimits limits{.frames = 3, .bytes = UINT64_MAX};
  for (uint64_t i = 0; i < 3; ++i) EXPECT_EQ(i, counter.next(1, 1, limits));
  for (int i = 0; i < 3; ++i) EXPECT_EQ(SealCounter::kStopped, counter.next(1, 1, limits));
  EXPECT_EQ(0u, counter.next(2, 1, limits));
}

TEST(SealCounter, StopsBeforeTheByteShareIsExceeded) {
  SealCounter counter;
  const SealLimits limits{.frames = kStreamCounters, .bytes = 250};
  EXPECT_EQ(0u, counter.next(1, 100, limits));
  EXPECT_EQ(1u, counter.next(1, 100, limits));
  EXPECT_EQ(SealCounter::kStopped, counter.next(1, 51, limits));
  EXPECT_EQ(2u, counter.next(1, 50, limits));
  EXPECT_EQ(SealCounter::kStopped, counter.next(1, 1, limits));
  EXPECT_EQ(250u, counter.bytes(1));
}

TEST(SealCounter, TellsItsUseOfOneKeyOnly) {
  SealCounter counter;
  counter.next(1, 100, kWide);
  counter.next(2, 40, kWide);
  counter.next(2, 40, kWide);
  EXPECT_EQ(2u, counter.frames(2));
  EXPECT_EQ(80u, counter.bytes(2));
  EXPECT_EQ(0u, counter.frames(1));
  EXPECT_EQ(0u, counter.bytes(3));
}

TEST(LaneWindows, EachSlotHasItsOwnAndANewKeyStartsAfresh) {
  LaneWindows<64> windows;
  EXPECT_TRUE(windows.of(0, 1).test_and_set(7));
  EXPECT_FALSE(windows.of(0, 1).test_and_set(7));
  EXPECT_TRUE(windows.of(1, 2).test_and_set(7));
  EXPECT_TRUE(windows.of(0, 3).test_and_set(7));
  EXPECT_FALSE(windows.of(1, 2).test_and_set(7));
}

}  // namespace
}  // namespace sky::dataplane
