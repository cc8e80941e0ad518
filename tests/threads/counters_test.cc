// Words with one writer and any number of readers: a page of counters, and the counter of a lane whose key changes.
#include <memory>

#include "dataplane/crypto/key_slot.h"
#include "dataplane/protocol/stats_page.h"
#include "tests/threads/two_threads.h"

namespace sky::test {
namespace {

TEST(StatsWord, RisesForWhoeverReadsAndLosesNothing) {
  constexpr size_t kWords = 8;
  const auto stats = std::make_unique<WorkerStats>();
  std::atomic<bool> done = false;
  uint64_t fell = 0, readings = 0;
  two_threads(
      [&] {
        std::array<uint64_t, kWords> last{};
        while (!done.load(std::memory_order_relaxed)) {
          for (size_t i = 0; i < kWords; ++i) {
            const uint64_t now = stats->drops[i].get();
            fell += now < last[i];
            last[i] = now;
          }
          ++readings;
        }
      },
      [&] {
        for (uint64_t i = 0; i < operations(); ++i) stats->drops[i % kWords].add(i);
        done.store(true, std::memory_order_relaxed);
      });
  EXPECT_EQ(0u, fell);
  EXPECT_GT(readings, 0u);
  uint64_t sum = 0;
  for (size_t i = 0; i < kWords; ++i) sum += stats->drops[i].get();
  EXPECT_EQ(operations() * (operations() - 1) / 2, sum);
}

TEST(SealCounter, WhatIsReadOfAKeyIsOfThatKey) {
  constexpr uint64_t kPerKey = 1'000;
  constexpr uint32_t kBytes = 100;
  const dataplane::SealLimits limits{.frames = kPerKey, .bytes = kPerKey * kBytes};
  dataplane::SealCounter counter;
  std::atomic<bool> done = false;
  uint64_t wrong = 0, beyond = 0;
  two_threads(
      [&] {
        while (!done.load(std::memory_order_relaxed)) {
          for (uint64_t key = 1; key <= operations() / kPerKey; key += 1 + key / 8) {
            beyond += counter.frames(key) > kPerKey || counter.bytes(key) > kPerKey * kBytes;
          }
        }
      },
      [&] {
        for (uint64_t i = 0; i < operations(); ++i) {
          wrong += counter.next(i / kPerKey + 1, kBytes, limits) != i % kPerKey;
          if (i % kPerKey == kPerKey - 1)
            wrong += counter.next(i / kPerKey + 1, kBytes, limits) != dataplane::SealCounter::kStopped;
        }
        done.store(true, std::memory_order_relaxed);
      });
  EXPECT_EQ(0u, wrong);
  EXPECT_EQ(0u, beyond);
}

}  // namespace
}  // namespace sky::test
