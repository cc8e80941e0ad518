// The key IDs of one direction: a chain is installed once in its life, whatever link or session it comes for, since
// with it again its counters would start at 0 again. So this outlives links and sessions; it forgets the oldest of
// kMost. Main core only. Cost: a walk down a tree (not a hash, whose IDs a control plane could choose to collide).
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <set>

namespace sky::dataplane {

class KeyIdMemory {
 public:
  static constexpr size_t kMost = 1 << 16;

  bool knows(uint64_t key_id) const { return ids_.contains(key_id); }
  void remember(uint64_t key_id) {
    if (!ids_.insert(key_id).second) return;
    order_.push_back(key_id);
    if (order_.size() <= kMost) return;
    ids_.erase(order_.front());
    order_.pop_front();
  }

 private:
  std::set<uint64_t> ids_;
  std::deque<uint64_t> order_;  ///< oldest first
};

/// Of both directions.
struct KeyIdMemories {
  KeyIdMemory receive;
  KeyIdMemory send;
};

}  // namespace sky::dataplane
