// The replay windows of one stream of a session, one per key slot, as long as whoever first named the stream asked for:
// the copies of a packet come as far apart as the two circuits' delays are, and what is older than the window is lost.
// A plain stream comes by the circuits whose rules name it; a copied one by any circuit of its session, but is opened
// by one worker alone. Content: the receiving worker; owner and size: main core. Cost: two cache lines and a word of
// the bitmap. Source: docs/protocol.md, "Copied streams".
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>

#include "dataplane/crypto/key_slot.h"
#include "dataplane/protocol/install.h"

namespace sky::dataplane {

class SessionWindows {
 public:
  static constexpr uint8_t kPlain = 0xff;  ///< an owner: not copied

  SessionWindows(unsigned log2_counters, uint8_t owner)
      : counters_(uint64_t{1} << log2_counters),
        bitmaps_(std::make_unique<uint64_t[]>(kKeySlots * counters_ / 64)),
        owner_(owner) {}

  /// Reset when the slot holds another key than before.
  ReplayView of(unsigned slot, uint64_t key_generation) noexcept {
    Slot& its = slots_[slot];
    ReplayView view(its.state, &bitmaps_[slot * counters_ / 64], counters_);
    if (its.generation != key_generation) {
      its.generation = key_generation;
      view.reset();
    }
    return view;
  }

  bool copied() const noexcept { return owner_.load(std::memory_order_relaxed) != kPlain; }
  /// Whether that worker may open what came by a circuit whose rule names the stream, or does not.
  bool is_for(uint8_t worker, bool named) const noexcept {
    const uint8_t owner = owner_.load(std::memory_order_relaxed);
    return owner == kPlain ? named : owner == worker;
  }

  /// What no rule names any more takes no key that came since: who names it again may find another window in its place.
  bool takes(const KeySlot& key) const noexcept {
    return key.generation <= newest_key_.load(std::memory_order_relaxed);
  }

  // Main core.
  void close_after(uint64_t newest_key) { newest_key_.store(newest_key, std::memory_order_relaxed); }
  void reopen() { newest_key_.store(UINT64_MAX, std::memory_order_relaxed); }
  uint8_t owner() const { return owner_.load(std::memory_order_relaxed); }
  void set_owner(uint8_t owner) { owner_.store(owner, std::memory_order_relaxed); }
  uint64_t bytes() const { return bytes_of(counters_); }
  static constexpr uint64_t bytes_of(uint64_t counters) { return sizeof(SessionWindows) + kKeySlots * counters / 8; }

 private:
  struct Slot {
    uint64_t generation = 0;
    ReplayState state;
  };
  std::array<Slot, kKeySlots> slots_{};
  uint64_t counters_;
  std::unique_ptr<uint64_t[]> bitmaps_;  ///< [key slot][counters_ / 64]
  std::atomic<uint64_t> newest_key_ = UINT64_MAX;
  std::atomic<uint8_t> owner_;  ///< of a copied stream: who opens it
};

/// What every stream has that is not copied.
inline constexpr uint64_t kPlainWindowBytes = SessionWindows::bytes_of(uint64_t{1} << kLeastCopyWindow);

}  // namespace sky::dataplane
