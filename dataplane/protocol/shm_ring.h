// A single-producer, single-consumer ring of fixed slots in memory shared with a process that is not trusted.
// Each side keeps its own copy of the capacity and of its own position; of the other side's position it believes only
// what is possible, and a slot is copied out before anyone looks at it. An impossible position makes the ring
// `broken()` for good: its owner closes the attachment. Cost: one release store, one acquire load, one copy.
#pragma once

#include <atomic>
#include <cstdint>
#include <cstring>
#include <type_traits>

namespace sky {

/// The shared words, each on its own cache line. Fresh memory (all zero) is an empty ring.
struct ShmRingPositions {
  alignas(64) std::atomic<uint64_t> tail;  ///< producer: rw, consumer: ro
  alignas(64) std::atomic<uint64_t> head;  ///< consumer: rw, producer: ro
};
static_assert(sizeof(ShmRingPositions) == 128 && std::atomic<uint64_t>::is_always_lock_free);

template <typename T>
class ShmProducer {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  ShmProducer() = default;
  /// `slots[capacity]`, capacity a power of two.
  ShmProducer(ShmRingPositions* positions, T* slots, uint32_t capacity)
      : positions_(positions), slots_(slots), capacity_(capacity) {}

  /// False when the ring is full or broken; the message is then not taken.
  bool push(const T& message) {
    if (tail_ - head_ >= capacity_ && free_slots() == 0) return false;
    std::memcpy(&slots_[tail_ & (capacity_ - 1)], &message, sizeof(T));
    positions_->tail.store(++tail_, std::memory_order_release);
    return true;
  }

  /// Slots that can be pushed before the ring is full; 0 when broken.
  uint32_t free_slots() {
    const uint64_t head = positions_->head.load(std::memory_order_acquire);
    if (head < head_ || head > tail_) broken_ = true;
    if (broken_) return 0;
    head_ = head;
    return static_cast<uint32_t>(capacity_ - (tail_ - head_));
  }
  bool broken() const { return broken_; }

 private:
  ShmRingPositions* positions_ = nullptr;
  T* slots_ = nullptr;
  uint64_t capacity_ = 0;
  uint64_t tail_ = 0;
  uint64_t head_ = 0;  ///< the consumer's position as last believed
  bool broken_ = false;
};

template <typename T>
class ShmConsumer {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  ShmConsumer() = default;
  ShmConsumer(ShmRingPositions* positions, T* slots, uint32_t capacity)
      : positions_(positions), slots_(slots), capacity_(capacity) {}

  /// Copies the oldest message out, wipes its slot (it may hold a key) and frees it. False when empty or broken.
  bool pop(T& message) {
    if (available() == 0) return false;
    T* slot = &slots_[head_ & (capacity_ - 1)];
    std::memcpy(&message, slot, sizeof(T));
    std::memset(static_cast<void*>(slot), 0, sizeof(T));
    asm volatile("" : : "r"(slot) : "memory");  // the wipe is not the optimiser's to drop
    positions_->head.store(++head_, std::memory_order_release);
    return true;
  }

  /// Messages waiting.
  uint32_t available() {
    const uint64_t tail = positions_->tail.load(std::memory_order_acquire);
    if (tail < head_ || tail - head_ > capacity_) broken_ = true;
    return broken_ ? 0 : static_cast<uint32_t>(tail - head_);
  }
  bool broken() const { return broken_; }

 private:
  ShmRingPositions* positions_ = nullptr;
  T* slots_ = nullptr;
  uint64_t capacity_ = 0;
  uint64_t head_ = 0;
  bool broken_ = false;
};

}  // namespace sky
