// What the tests of this folder share: how much they do, and a record that shows whether it arrived whole.
#pragma once

#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <cstdlib>
#include <thread>

namespace sky::test {

/// SKYEDGE_THREAD_OPERATIONS, or 10^7.
inline uint64_t operations() {
  const char* text = std::getenv("SKYEDGE_THREAD_OPERATIONS");
  return text == nullptr ? 10'000'000 : std::strtoull(text, nullptr, 0);
}

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

/// Waits for the other thread. Where it has a core of its own that is soon; where not, each yield may cost all of
/// somebody's time slice.
template <typename Condition>
void wait_until(Condition condition) {
  for (unsigned tries = 1; !condition(); ++tries) {
    if (tries % 1024 == 0) std::this_thread::yield();
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
