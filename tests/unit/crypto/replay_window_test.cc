#include "dataplane/crypto/replay_window.h"

#include <gtest/gtest.h>

#include <iostream>
#include <memory>
#include <random>
#include <set>

#include "tests/support/soak.h"

namespace sky::dataplane {
namespace {

constexpr uint64_t kBits = 8192;

template <uint64_t Bits>
struct ReplayWindow {
  ReplayView view() { return {state, bitmap.data(), Bits}; }
  bool may_accept(uint64_t counter) { return view().may_accept(counter); }
  bool test_and_set(uint64_t counter) { return view().test_and_set(counter); }
  void reset() { view().reset(); }

  ReplayState state;
  std::array<uint64_t, Bits / 64> bitmap{};
};

struct Row {
  uint64_t counter;
  bool accept;
};

// WireGuard's self-test (its limit is one past its window, ours the window itself), played in order on one window.
constexpr uint64_t kEnd = kReplayEnd;
constexpr Row kWireGuardRows[] = {
    {0, true},
    {1, true},
    {1, false},
    {9, true},
    {8, true},
    {7, true},
    {7, false},
    {kBits, true},
    {kBits - 1, true},
    {kBits - 1, false},
    {kBits - 2, true},
    {2, true},
    {2, false},
    {kBits + 16, true},
    {3, false},
    {kBits + 16, false},
    {kBits * 4, true},
    {kBits * 4 - (kBits - 1), true},
    {10, false},
    {kBits * 4 - kBits, false},
    {kBits * 4 - (kBits + 1), false},
    {kBits * 4 - (kBits - 2), true},
    {kBits * 4 + 1 - kBits, false},
    {0, false},
    {kEnd, false},
    {kEnd - 1, true},
    {kEnd, false},
    {kEnd - 1, false},
    {kEnd - 2, true},
    {kEnd + 1, false},
    {kEnd + 2, false},
    {kEnd - 2, false},
    {kEnd - 3, true},
    {0, false},
};
static_assert(std::size(kWireGuardRows) == 34);

TEST(ReplayWindow, WireGuardsRows) {
  ReplayWindow<kBits> window;
  int number = 0;
  for (const auto& [counter, accept] : kWireGuardRows) {
    SCOPED_TRACE(++number);
    EXPECT_EQ(accept, window.may_accept(counter));
    EXPECT_EQ(accept, window.test_and_set(counter));
  }
}

// WireGuard's six sweeps over a whole window, upwards and downwards.
TEST(ReplayWindow, SweepUpThenTheOldestOnce) {
  ReplayWindow<kBits> window;
  for (uint64_t i = 1; i < kBits; ++i) ASSERT_TRUE(window.test_and_set(i));
  EXPECT_TRUE(window.test_and_set(0));
  EXPECT_FALSE(window.test_and_set(0));
}

TEST(ReplayWindow, SweepUpByOneMoreLosesTheOldest) {
  ReplayWindow<kBits> window;
  for (uint64_t i = 2; i <= kBits; ++i) ASSERT_TRUE(window.test_and_set(i));
  EXPECT_TRUE(window.test_and_set(1));
  EXPECT_FALSE(window.test_and_set(0));
}

TEST(ReplayWindow, SweepDownFillsTheWholeWindow) {
  ReplayWindow<kBits> window;
  for (uint64_t i = kBits; i-- > 0;) ASSERT_TRUE(window.test_and_set(i));
  for (uint64_t i = kBits; i-- > 0;) ASSERT_FALSE(window.test_and_set(i));
}

TEST(ReplayWindow, SweepDownFromOneHigherLeavesZeroOutside) {
  ReplayWindow<kBits> window;
  for (uint64_t i = kBits + 1; i-- > 1;) ASSERT_TRUE(window.test_and_set(i));
  EXPECT_FALSE(window.test_and_set(0));
}

TEST(ReplayWindow, SweepDownThenOneUpPushesZeroOut) {
  ReplayWindow<kBits> window;
  for (uint64_t i = kBits; i-- > 1;) ASSERT_TRUE(window.test_and_set(i));
  EXPECT_TRUE(window.test_and_set(kBits));
  EXPECT_FALSE(window.test_and_set(0));
}

TEST(ReplayWindow, SweepDownThenZeroThenOneUp) {
  ReplayWindow<kBits> window;
  for (uint64_t i = kBits; i-- > 1;) ASSERT_TRUE(window.test_and_set(i));
  EXPECT_TRUE(window.test_and_set(0));
  EXPECT_TRUE(window.test_and_set(kBits));
}

TEST(ReplayWindow, ResetForgetsEvenWithOldBitsInPlace) {
  ReplayWindow<kBits> window;
  for (uint64_t i = 0; i < 3 * kBits; ++i) ASSERT_TRUE(window.test_and_set(i));
  window.reset();
  for (uint64_t i : {5, 0, 8000, 7999, 4, 9000}) EXPECT_TRUE(window.test_and_set(i)) << i;
  for (uint64_t i : {5, 0, 8000, 7999, 4, 9000}) EXPECT_FALSE(window.test_and_set(i)) << i;
}

/// A naive window: every counter accepted and the highest.
template <uint64_t Bits>
class Model {
 public:
  bool test_and_set(uint64_t counter) {
    if (counter >= kReplayEnd) return false;
    const bool too_old = !seen_.empty() && counter + Bits <= *seen_.rbegin();
    if (too_old || !seen_.insert(counter).second) return false;
    while (*seen_.begin() + Bits <= *seen_.rbegin()) seen_.erase(seen_.begin());
    return true;
  }
  uint64_t highest() const { return seen_.empty() ? 0 : *seen_.rbegin(); }

 private:
  std::set<uint64_t> seen_;
};

/// Random steps of all sizes around the highest counter, each put to window and model.
template <uint64_t Bits>
void compare_with_model(unsigned seed, int operations, uint64_t start) {
  ReplayWindow<Bits> window;
  Model<Bits> model;
  std::mt19937_64 random(seed);
  ASSERT_EQ(model.test_and_set(start), window.test_and_set(start));
  int accepted = 0;
  for (int i = 0; i < operations; ++i) {
    const uint64_t reach = uint64_t{1} << random() % 15;
    const uint64_t back = random() % 4 == 0 ? 0 : random() % (2 * Bits);
    const uint64_t top = model.highest() + random() % reach;
    const uint64_t counter = top > back ? top - back : 0;
    const bool expected = model.test_and_set(counter);
    ASSERT_EQ(expected, window.may_accept(counter)) << i << ": " << counter;
    ASSERT_EQ(expected, window.test_and_set(counter)) << i << ": " << counter;
    accepted += expected;
  }
  EXPECT_GT(accepted, operations / 100) << "the mix must hold both verdicts";
  EXPECT_LT(accepted, operations);
}

TEST(ReplayWindow, RandomOperationsMatchASet) {
  const int operations = soak_size(1'000'000, 100'000'000);
  compare_with_model<kBits>(1, operations, 0);
  std::cout << "figure: replay window: " << operations << " operations agree with a set\n";
}

TEST(ReplayWindow, NarrowWindowsMatchASet) {
  compare_with_model<64>(2, 100'000, 0);
  compare_with_model<128>(3, 100'000, 0);
}

TEST(ReplayWindow, MatchesASetUpToTheLastCounter) {
  compare_with_model<256>(4, 100'000, kReplayEnd - 20'000'000);
}

}  // namespace
}  // namespace sky::dataplane
