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
  Pace pace;
  uint64_t fell = 0, count = 0;
  two_threads(
      [&] {
        std::array<uint64_t, kWords> last{};
        for (; pace.goes_on(); pace.turn()) {
          for (size_t i = 0; i < kWords; ++i) {
            const uint64_t now = stats->drops[i].get();
            fell += now < last[i];
            last[i] = now;
          }
        }
      },
      [&] {
        for (; !pace.enough(count); ++count) stats->drops[count % kWords].add(count);
        pace.finish();
      });
  EXPECT_EQ(0u, fell);
  uint64_t sum = 0;
  for (size_t i = 0; i < kWords; ++i) sum += stats->drops[i].get();
  EXPECT_EQ(count * (count - 1) / 2, sum);
}

TEST(SealCounter, WhatIsReadOfAKeyIsOfThatKey) {
  constexpr uint64_t kPerKey = 1'000;
  constexpr uint32_t kBytes = 100;
  const dataplane::SealLimits limits{.frames = kPerKey, .bytes = kPerKey * kBytes};
  dataplane::SealCounter counter;
  Pace pace;
  uint64_t wrong = 0, beyond = 0;
  two_threads(
      [&] {
        for (; pace.goes_on(); pace.turn()) {
          for (uint64_t key = 1; key <= operations() / kPerKey; key += 1 + key / 8) {
            beyond += counter.frames(key) > kPerKey || counter.bytes(key) > kPerKey * kBytes;
          }
        }
      },
      [&] {
        for (uint64_t i = 0; !pace.enough(i); ++i) {
          wrong += counter.next(i / kPerKey + 1, kBytes, limits) != i % kPerKey;
          if (i % kPerKey == kPerKey - 1)
            wrong += counter.next(i / kPerKey + 1, kBytes, limits) != dataplane::SealCounter::kStopped;
        }
        pace.finish();
      });
  EXPECT_EQ(0u, wrong);
  EXPECT_EQ(0u, beyond);
}

}  // namespace
}  // namespace sky::test
