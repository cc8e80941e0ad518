// Two copies of a table that changes in place: workers read one, the main core writes the other, the
// copies change places by one pointer, and once every worker was quiescent the other is free to be written. Cost for a
// worker: one load.
#pragma once

#include <array>
#include <atomic>

namespace sky::dataplane {

template <typename Copy>
class TwoCopies {
 public:
  TwoCopies() = default;
  TwoCopies(const TwoCopies&) = delete;
  TwoCopies& operator=(const TwoCopies&) = delete;

  /// Worker: the copy to read, until its next quiescent state.
  const Copy& shown() const noexcept { return *shown_.load(std::memory_order_acquire); }

  // Main core's side.
  /// The copy that no worker reads.
  Copy& hidden() { return shown_.load(std::memory_order_relaxed) == &copies_[0] ? copies_[1] : copies_[0]; }
  /// What was hidden is shown. `wait_for_workers` returns once every worker was quiescent since it was called.
  template <typename Wait>
  void swap(Wait wait_for_workers) {
    shown_.store(&hidden(), std::memory_order_release);
    wait_for_workers();
  }
  /// Before the first worker looks, and after the last one did.
  std::array<Copy, 2>& both() { return copies_; }

 private:
  std::array<Copy, 2> copies_{};
  std::atomic<const Copy*> shown_ = &copies_[0];
};

}  // namespace sky::dataplane
