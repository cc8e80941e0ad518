// What workers see of keys, in either direction of a link or session: four slots of which the main
// core fills and wipes, and the counters and windows that a worker alone owns.
//
// A slot's index is chain parity << 1 | step & 1. A link's epoch byte is parity << 7 | step & 127;
// a session's two-bit epoch is the index itself.
//
// Who may touch a slot: the main core writes key, salt, epoch and generation only while the slot is
// not `live` (receive) or not `current` (send), and only after every worker was quiescent since it
// ceased to be. A worker reads `live` or `current` with acquire and then uses the slot until its
// own next quiescent state: nothing it reads can be torn or change under it. Cost: a slot is 16
// cache lines; all but the key stands in the last.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "dataplane/base/huge_pool.h"
#include "dataplane/crypto/aead.h"
#include "dataplane/crypto/key_chain.h"
#include "dataplane/crypto/replay_window.h"

namespace sky::dataplane {

inline constexpr unsigned kKeySlots = 4;

struct alignas(64) KeySlot {
  AeadKey key{};                   ///< main: rw, worker: ro
  Salt salt{};                     ///< main: rw, worker: ro; first 4 bytes of the nonce
  uint8_t epoch = 0;               ///< main: rw, worker: ro; as a link writes it
  Suite suite{};                   ///< main: rw, worker: ro
  std::atomic<bool> live = false;  ///< main: rw, worker: ro; receive: may be used
  std::atomic<bool> seen = false;  ///< worker: sets, main: ro, clears with the key
  uint64_t generation = 0;         ///< main: rw, worker: ro; never 0 nor the same for two keys of a process

  /// Receive: an authentic frame came under this key. A store once per key, a load per frame.
  void mark_seen() noexcept {
    if (!seen.load(std::memory_order_relaxed)) seen.store(true, std::memory_order_relaxed);
  }
};
static_assert(sizeof(KeySlot) == 1024);

constexpr unsigned slot_index(unsigned parity, uint32_t step) {
  return parity << 1 | (step & 1);
}
constexpr unsigned slot_index(uint8_t link_epoch) {
  return slot_index(link_epoch >> 7, link_epoch);
}
constexpr uint8_t link_epoch(unsigned parity, uint32_t step) {
  return static_cast<uint8_t>(parity << 7 | (step & 127));
}

struct ReceiveKeys {
  std::array<KeySlot, kKeySlots> slots;

  /// The key for a link's epoch byte, or nullptr.
  KeySlot* for_link(uint8_t epoch) noexcept {
    KeySlot* slot = for_session(slot_index(epoch));
    return slot != nullptr && slot->epoch == epoch ? slot : nullptr;
  }
  /// The key for a session's epoch, 0..3, or nullptr.
  KeySlot* for_session(unsigned epoch) noexcept {
    KeySlot& slot = slots[epoch];
    return slot.live.load(std::memory_order_acquire) ? &slot : nullptr;
  }
};

struct SendKeys {
  static constexpr uint8_t kNone = kKeySlots;

  std::array<KeySlot, kKeySlots> slots;
  std::atomic<uint8_t> current = kNone;  ///< main: rw, worker: ro

  /// The key to seal with, or nullptr. Its index within `slots` is a session's epoch.
  const KeySlot* now() const noexcept {
    const uint8_t index = current.load(std::memory_order_acquire);
    return index < kKeySlots ? &slots[index] : nullptr;
  }
};

/// How far one lane or stream may go under one key before it stops hard.
struct SealLimits {
  uint64_t frames;  ///< the first counter that is not used: kLinkCounters or kStreamCounters
  uint64_t bytes;   ///< this lane's share of the key's bytes
};
inline constexpr uint64_t kLinkCounters = (uint64_t{1} << 56) - 1;
inline constexpr uint64_t kStreamCounters = (uint64_t{1} << 48) - 1;

/// The counter of one lane or stream. Written by the worker that seals on it, read by the main core
/// (relaxed words). Generations rise from key to key in the order in which they are used, so a
/// counter restarts only with a newer key and no nonce comes twice under one.
class SealCounter {
 public:
  static constexpr uint64_t kStopped = UINT64_MAX;

  /// Worker: the counter for the next `length` bytes under the key of that generation, or kStopped:
  /// a limit is reached, or the key is older than one already used.
  uint64_t next(uint64_t generation, uint32_t length, const SealLimits& limits) noexcept {
    const uint64_t known = generation_.load(std::memory_order_relaxed);
    if (generation < known) return kStopped;
    if (generation > known) restart(generation);
    const uint64_t counter = frames_.load(std::memory_order_relaxed);
    const uint64_t bytes = bytes_.load(std::memory_order_relaxed);
    if (counter >= limits.frames || bytes + length > limits.bytes) return kStopped;
    frames_.store(counter + 1, std::memory_order_relaxed);
    bytes_.store(bytes + length, std::memory_order_relaxed);
    return counter;
  }

  /// Main: what was sealed under the key of that generation.
  uint64_t frames(uint64_t generation) const noexcept { return under(generation, frames_); }
  uint64_t bytes(uint64_t generation) const noexcept { return under(generation, bytes_); }

 private:
  void restart(uint64_t generation) noexcept {
    frames_.store(0, std::memory_order_relaxed);
    bytes_.store(0, std::memory_order_relaxed);
    generation_.store(generation, std::memory_order_release);  // who sees it sees the zeros
  }
  uint64_t under(uint64_t generation, const std::atomic<uint64_t>& word) const noexcept {
    if (generation_.load(std::memory_order_acquire) != generation) return 0;
    return word.load(std::memory_order_relaxed);
  }

  std::atomic<uint64_t> generation_ = 0;
  std::atomic<uint64_t> frames_ = 0;
  std::atomic<uint64_t> bytes_ = 0;
};

/// The replay windows of one lane, one per slot; owned by the worker that receives it. Reset when a slot holds another
/// key than before. Cost: a cache line where frames come in order.
template <uint64_t Bits = 8192>
struct alignas(64) LaneWindows : Pooled<LaneWindows<Bits>> {
  static_assert(Bits >= 64 && (Bits & (Bits - 1)) == 0, "a power of two of whole words");

  struct Slot {
    uint64_t generation = 0;
    ReplayState state;
    std::atomic<uint64_t> heard_ns = 0;  ///< others: ro; the last authentic frame
  };
  std::array<Slot, kKeySlots> slots;
  std::array<std::array<uint64_t, Bits / 64>, kKeySlots> bitmap{};

  ReplayView of(unsigned slot, uint64_t key_generation) noexcept {
    ReplayView view = this->view(slot);
    if (slots[slot].generation != key_generation) [[unlikely]] {
      slots[slot].generation = key_generation;
      view.reset();
    }
    return view;
  }
  ReplayView view(unsigned slot) noexcept { return {slots[slot].state, bitmap[slot].data(), Bits}; }
  uint64_t heard_ns() const noexcept {
    uint64_t last = 0;
    for (const Slot& slot : slots) last = std::max(last, slot.heard_ns.load(std::memory_order_relaxed));
    return last;
  }
};

/// What did not authenticate under each key of one receiver. Written by one worker, read by the main core and others.
class FailedTags {
 public:
  void add(const KeySlot& key) noexcept {
    Count& count = counts_[slot_index(key.epoch)];
    const bool same = count.generation.load(std::memory_order_relaxed) == key.generation;
    count.failed.store(same ? count.failed.load(std::memory_order_relaxed) + 1 : 1, std::memory_order_relaxed);
    count.generation.store(key.generation, std::memory_order_release);  // never a key's with the count of one before it
  }
  uint64_t of(const KeySlot& key) const noexcept {
    const Count& count = counts_[slot_index(key.epoch)];
    const bool same = count.generation.load(std::memory_order_acquire) == key.generation;
    return same ? count.failed.load(std::memory_order_relaxed) : 0;
  }

 private:
  struct Count {
    std::atomic<uint64_t> generation = 0;
    std::atomic<uint64_t> failed = 0;
  };
  std::array<Count, kKeySlots> counts_;
};

}  // namespace sky::dataplane
