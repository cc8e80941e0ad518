// A thread that writes over memory which another process believes in: word by word, at random, as fast as it can.
// Most of it lands where the other one looks next (the slots), little on the positions of a ring, which end an
// attachment at once. Values are words found elsewhere in the segment, small numbers, single bits, and noise.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <mutex>
#include <span>
#include <thread>
#include <vector>

namespace sky::soak {

class Scribbler {
 public:
  struct Target {
    std::span<uint64_t> words;
    uint32_t share = 1;  ///< of all writes, relative to the others'
  };

  /// `writes` outlives it, and may lie in memory that processes share.
  Scribbler(uint64_t seed, std::atomic<uint64_t>& writes) : state_(seed), writes_(writes), thread_([this] { run(); }) {}
  Scribbler(const Scribbler&) = delete;
  Scribbler& operator=(const Scribbler&) = delete;
  ~Scribbler() {
    stop_ = true;
    thread_.join();
  }

  /// Once it returns nothing but these is written to.
  void aim(std::vector<Target> targets) {
    const std::lock_guard held(lock_);
    targets_ = std::move(targets);
    shares_ = 0;
    for (const Target& target : targets_) shares_ += target.share;
  }

 private:
  static constexpr unsigned kWritesPerTurn = 4'096;

  void run() {
    while (!stop_) {
      {
        const std::lock_guard held(lock_);
        if (!targets_.empty()) scribble();
      }
      // The CPU is shared with the victim, which has to be seen at work.
      std::this_thread::sleep_for(std::chrono::microseconds(20));
    }
  }

  void scribble() {
    for (unsigned i = 0; i < kWritesPerTurn; ++i) {
      std::atomic_ref word(any_word());
      const uint64_t elsewhere = std::atomic_ref(any_word()).load(std::memory_order_relaxed);
      word.store(value(word.load(std::memory_order_relaxed), elsewhere), std::memory_order_relaxed);
    }
    writes_.fetch_add(kWritesPerTurn, std::memory_order_relaxed);
  }

  uint64_t& any_word() {
    uint64_t drawn = draw() % shares_;
    size_t at = 0;
    while (drawn >= targets_[at].share) drawn -= targets_[at++].share;
    return targets_[at].words.data()[draw() % targets_[at].words.size()];
  }

  uint64_t value(uint64_t old, uint64_t elsewhere) {
    switch (draw() % 5) {
      case 0:
        return elsewhere;
      case 1:
        return draw() % 64;
      case 2:
        return old ^ uint64_t { 1 } << (draw() % 64);
      case 3:
        return old + 1;
      default:
        return draw();
    }
  }

  /// splitmix64: a sanitized std::mt19937 would be most of the work.
  uint64_t draw() {
    uint64_t z = state_ += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
  }

  uint64_t state_;
  std::atomic<uint64_t>& writes_;
  std::mutex lock_;
  std::vector<Target> targets_;
  uint64_t shares_ = 0;
  std::atomic<bool> stop_ = false;
  std::thread thread_;
};

/// Some object in shared memory, as words.
template <typename T>
std::span<uint64_t> words_of(T& object) {
  return {reinterpret_cast<uint64_t*>(&object), sizeof(T) / sizeof(uint64_t)};
}

}  // namespace sky::soak
