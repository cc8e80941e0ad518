// Which counters of one key and lane were seen: a bitmap of the newest `bits` counters, plain data,
// one owner, no locks. Like RFC 6479's, but exact: the window is always `bits` wide, since
// advancing clears precisely the bits of the counters passed over.
//
// may_accept is the early look before the tag is checked; test_and_set, after it and in frame
// order, is final (two copies of a frame may stand in one burst). Counters run from 0 to kReplayEnd
// - 1; all others are refused. Cost: one word read or written; an advance by n counters clears n /
// 64 words, at most the whole bitmap.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

namespace sky::dataplane {

inline constexpr uint64_t kReplayEnd = (uint64_t{1} << 56) - 1;

/// A window whose state lies elsewhere: how long it is is known at run time, or where it is made.
class ReplayView {
 public:
  /// `bits` is a power of two, 64 or more; `bitmap` has as many.
  ReplayView(uint64_t& next, uint64_t* bitmap, uint64_t bits) noexcept : next_(next), bitmap_(bitmap), bits_(bits) {}

  bool may_accept(uint64_t counter) const noexcept {
    if (counter >= next_) return counter < kReplayEnd;
    return !is_older(counter) && (word(counter) & bit(counter)) == 0;
  }
  /// Below the window: seen or not, nobody knows.
  bool is_older(uint64_t counter) const noexcept { return counter < next_ && next_ - counter > bits_; }

  /// True for the first sight of a counter in the window or beyond it, which moves the window.
  bool test_and_set(uint64_t counter) noexcept {
    if (counter == next_ && counter < kReplayEnd) {  // most often: nothing is passed over
      next_ = counter + 1;
    } else {
      if (!may_accept(counter)) return false;
      if (counter > next_) advance_past(counter);
    }
    word(counter) |= bit(counter);
    return true;
  }

  /// Forgets all: for a new key. Bits need no clearing, an advance clears them.
  void reset() noexcept { next_ = 0; }

 private:
  static uint64_t bit(uint64_t counter) { return uint64_t{1} << counter % 64; }
  uint64_t& word(uint64_t counter) const { return bitmap_[(counter & (bits_ - 1)) / 64]; }

  void advance_past(uint64_t counter) {
    const uint64_t end = counter + 1;
    if (end - next_ >= bits_) {
      std::fill_n(bitmap_, bits_ / 64, 0);
      next_ = end;
    }
    while (next_ < end) {
      const uint64_t first = next_ % 64;
      const uint64_t count = std::min(64 - first, end - next_);
      word(next_) &= ~(~uint64_t{0} >> (64 - count) << first);
      next_ += count;
    }
  }

  uint64_t& next_;  ///< one past the highest counter accepted
  uint64_t* bitmap_;
  uint64_t bits_;
};

template <uint64_t Bits = 8192>
class ReplayWindow {
  static_assert(Bits >= 64 && (Bits & (Bits - 1)) == 0, "a power of two of whole words");

 public:
  bool may_accept(uint64_t counter) const noexcept {
    return const_cast<ReplayWindow*>(this)->view().may_accept(counter);
  }
  bool test_and_set(uint64_t counter) noexcept { return view().test_and_set(counter); }
  void reset() noexcept { view().reset(); }

 private:
  ReplayView view() noexcept { return {next_, bitmap_.data(), Bits}; }

  uint64_t next_ = 0;
  std::array<uint64_t, Bits / 64> bitmap_{};
};

}  // namespace sky::dataplane
