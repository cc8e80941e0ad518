// Which counters of one key and lane were seen: a bitmap of the newest `bits` counters, plain data, one owner, no
// locks. Like RFC 6479's, but exact: the window is always `bits` wide. The word that is being filled stands beside the
// highest counter, and goes to the bitmap when it is full: frames in order touch one cache line.
//
// may_accept is the early look before the tag is checked; test_and_set, after it and in frame order, is final (two
// copies of a frame may stand in one burst). Counters run from 0 to kReplayEnd - 1; all others are refused. Cost: a
// counter of an older word reads that one; one that passes over n others clears n / 64 words, at most the whole bitmap.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

namespace sky::dataplane {

inline constexpr uint64_t kReplayEnd = (uint64_t{1} << 56) - 1;

struct ReplayState {
  uint64_t next = 0;    ///< one past the highest counter accepted
  uint64_t recent = 0;  ///< bits of the word that holds the highest
};

/// A window whose state lies elsewhere: how long it is is known at run time, or where it is made.
class ReplayView {
 public:
  /// `bits` is a power of two, 64 or more; `bitmap` has as many.
  ReplayView(ReplayState& state, uint64_t* bitmap, uint64_t bits) noexcept
      : state_(state), bitmap_(bitmap), bits_(bits) {}

  bool may_accept(uint64_t counter) const noexcept {
    if (counter >= state_.next) return counter < kReplayEnd;
    return !is_older(counter) && (word(counter) & bit(counter)) == 0;
  }
  /// Below the window: seen or not, nobody knows.
  bool is_older(uint64_t counter) const noexcept { return counter < state_.next && state_.next - counter > bits_; }

  /// True for the first sight of a counter in the window or beyond it, which moves the window.
  bool test_and_set(uint64_t counter) noexcept {
    if (counter != state_.next || counter % 64 == 0 || counter >= kReplayEnd) [[unlikely]] {
      if (!may_accept(counter)) return false;
      if (counter >= state_.next) advance_to(counter);
    } else {
      state_.next = counter + 1;
    }
    word(counter) |= bit(counter);
    return true;
  }

  /// Forgets all: for a new key. The bitmap needs no clearing, an advance clears what it passes over.
  void reset() noexcept { state_ = {}; }

 private:
  static uint64_t bit(uint64_t counter) { return uint64_t{1} << counter % 64; }
  uint64_t& in_bitmap(uint64_t counter) const { return bitmap_[(counter & (bits_ - 1)) / 64]; }
  uint64_t& word(uint64_t counter) const {
    return (counter ^ (state_.next - 1)) < 64 ? state_.recent : in_bitmap(counter);
  }

  /// The old bits of a word that begins to be filled stay in the bitmap, in the window as long as they are.
  void advance_to(uint64_t counter) {
    uint64_t passed = 0;  // the first word that nothing was seen of
    if (state_.next != 0) {
      const uint64_t highest = state_.next - 1;
      state_.next = counter + 1;
      if (highest / 64 == counter / 64) return;
      in_bitmap(highest) = state_.recent;
      passed = highest / 64 + 1;
    }
    const uint64_t end = counter / 64;
    if (end - passed >= bits_ / 64) passed = end - bits_ / 64;
    for (; passed < end; ++passed) in_bitmap(passed * 64) = 0;
    state_ = {.next = counter + 1, .recent = 0};
  }

  ReplayState& state_;
  uint64_t* bitmap_;
  uint64_t bits_;
};

}  // namespace sky::dataplane
