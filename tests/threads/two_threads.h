// What the tests of this folder share: how much they do, and a record that shows whether it arrived whole.
#pragma once

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <thread>

namespace sky::test {

/// SKYEDGE_THREAD_OPERATIONS, or 10^7.
inline uint64_t operations() {
  static const uint64_t count = [] {
    const char* text = std::getenv("SKYEDGE_THREAD_OPERATIONS");
    return text == nullptr ? 10'000'000 : std::strtoull(text, nullptr, 0);
  }();
  return count;
}

/// Of two sides one does operations() and more, until the other had some turns as well: on a busy machine either may
/// stand still for long, and then nothing would have been tried.
struct Pace {
  static constexpr uint64_t kLeastTurns = 1'000;
  std::atomic<uint64_t> turns = 0;  ///< the other side's, which goes on until `done`
  std::atomic<bool> done = false;

  bool enough(uint64_t count) const {
    return count >= operations() && turns.load(std::memory_order_relaxed) >= kLeastTurns;
  }
  void turn() { turns.store(turns.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed); }
  bool goes_on() const { return !done.load(std::memory_order_relaxed); }
  void finish() { done.store(true, std::memory_order_relaxed); }
};

/// A sequence number and words that follow from it: a torn, stale or wiped record is not whole.
template <size_t Words>
struct Numbered {
  uint64_t sequence;
  std::array<uint64_t, Words> words;

  static Numbered of(uint64_t sequence) {
    Numbered record{sequence, {}};
    for (size_t i = 0; i < Words; ++i) record.words[i] = word(sequence, i);
    return record;
  }
  bool whole() const {
    bool same = true;
    for (size_t i = 0; i < Words; ++i) same &= words[i] == word(sequence, i);
    return same;
  }

 private:
  static uint64_t word(uint64_t sequence, size_t i) { return (sequence + 1) * 0x9e3779b97f4a7c15 + i; }
};

/// Waits for the other thread: not for long where it has a core of its own, and out of its way where it has not.
template <typename Condition>
void wait_until(Condition condition) {
  for (unsigned tries = 1; !condition(); ++tries) {
    if (tries % 1024 == 0) std::this_thread::sleep_for(std::chrono::microseconds(20));
  }
}

/// Runs both at once and returns when both have.
template <typename One, typename Other>
void two_threads(One one, Other other) {
  std::thread thread(other);
  one();
  thread.join();
}

}  // namespace sky::test
