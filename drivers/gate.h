// Lets one thread at a time into a driver that was made for one: workers that share a transmit queue, or a driver's
// control thread that takes a link's memory away. Cost: one atomic exchange in, one store out. Waiting spins, and gives
// the core up where several threads share it.
#pragma once

#include <sched.h>

#include <atomic>

namespace sky::drivers {

class Gate {
 public:
  /// Of a worker. False when the gate is shut: nothing is behind it.
  bool enter() noexcept {
    if (!open_.load(std::memory_order_acquire)) return false;
    lock();
    if (open_.load(std::memory_order_relaxed)) return true;
    unlock();
    return false;
  }
  void leave() noexcept { unlock(); }

  /// Of the control thread: no worker is inside between these two, and open or shut says what they meet afterwards.
  void lock() noexcept {
    for (unsigned spins = 0; taken_.exchange(true, std::memory_order_acquire); ++spins) {
      if (spins >= kSpins) sched_yield();
    }
  }
  void unlock() noexcept { taken_.store(false, std::memory_order_release); }
  void set_open(bool open) noexcept { open_.store(open, std::memory_order_release); }

 private:
  static constexpr unsigned kSpins = 1000;

  std::atomic<bool> taken_{false};
  std::atomic<bool> open_{true};
};

}  // namespace sky::drivers
