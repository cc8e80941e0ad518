// Index to object, for links, sessions and groups: a worker's look-up is one load, without a branch. The main core
// sets and clears entries; what it takes out it retires through Quiescence.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <vector>

namespace sky::dataplane {

template <typename T>
class IndexTable {
 public:
  explicit IndexTable(uint32_t capacity) : capacity_(capacity), entries_(size_t{capacity} + 1) {}
  IndexTable(const IndexTable&) = delete;
  IndexTable& operator=(const IndexTable&) = delete;
  ~IndexTable() {
    for (auto& entry : entries_) delete entry.load(std::memory_order_relaxed);
  }

  // In 64 bits: of 32 the compiler makes a vector instruction, and waits for it.
  T* find(uint32_t index) const { return entries_[std::min<size_t>(index, capacity_)].load(std::memory_order_acquire); }
  void set(uint32_t index, T* object) { entries_[index].store(object, std::memory_order_release); }
  uint32_t capacity() const { return static_cast<uint32_t>(capacity_); }

 private:
  const size_t capacity_;
  std::vector<std::atomic<T*>> entries_;  ///< the last is null and stands for all that are beyond the table
};

}  // namespace sky::dataplane
