// Index to object, for links, sessions and groups: a worker's look-up is one bounds check and one load. The main core
// sets and clears entries; what it takes out it retires through Quiescence.
#pragma once

#include <atomic>
#include <cstdint>
#include <vector>

namespace sky::dataplane {

template <typename T>
class IndexTable {
 public:
  explicit IndexTable(uint32_t capacity) : entries_(capacity) {}
  IndexTable(const IndexTable&) = delete;
  IndexTable& operator=(const IndexTable&) = delete;
  ~IndexTable() {
    for (auto& entry : entries_) delete entry.load(std::memory_order_relaxed);
  }

  T* find(uint32_t index) const {
    return index < entries_.size() ? entries_[index].load(std::memory_order_acquire) : nullptr;
  }
  void set(uint32_t index, T* object) { entries_[index].store(object, std::memory_order_release); }
  uint32_t capacity() const { return static_cast<uint32_t>(entries_.size()); }

 private:
  std::vector<std::atomic<T*>> entries_;
};

}  // namespace sky::dataplane
