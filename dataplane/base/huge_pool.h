// Where objects live of which a worker reads some in every burst: side by side in transparent hugepages. By the
// thousand on a heap of small pages each of them costs a walk through page tables before it costs a cache line.
#pragma once

#include <sys/mman.h>

#include <algorithm>
#include <boost/pool/singleton_pool.hpp>
#include <cstdlib>
#include <new>

#include "dataplane/base/address_sanitizer.h"

namespace sky {

/// Blocks of a pool: those that are large enough are asked for in hugepages.
struct HugeBlocks {
  using size_type = size_t;
  using difference_type = ptrdiff_t;
  static constexpr size_t kHugepage = size_t{2} << 20;

  static char* malloc(size_t bytes) {
    const bool huge = bytes > kHugepage / 2;
    const size_t page = huge ? kHugepage : 4096, whole = (bytes + page - 1) / page * page;
    void* memory = std::aligned_alloc(page, whole);
    if (memory != nullptr && huge) madvise(memory, whole, MADV_HUGEPAGE);
    return static_cast<char*>(memory);
  }
  static void free(char* block) { std::free(block); }
};

/// A base for such a class: `new` and `delete` take and give its memory. What is given back stays in the pool.
template <typename T>
struct Pooled {
#if !SKY_ADDRESS_SANITIZER  // which is to look at every object by itself
  static void* operator new(size_t) {
    void* memory = Pool<>::malloc();
    if (memory == nullptr) throw std::bad_alloc();
    return memory;
  }
  static void operator delete(void* object) {
    Pool<>::free(object);
  }

 private:
  static constexpr size_t kFirst = 16;  ///< objects in the first block; each is twice as large as the one before
  static constexpr size_t kBlockOverhead = 128;  ///< of boost's
  template <typename Object = T>
  static constexpr size_t kMost = std::max((HugeBlocks::kHugepage - kBlockOverhead) / sizeof(Object), kFirst);
  template <typename Object = T>
  using Pool = boost::singleton_pool<Object, sizeof(Object), HugeBlocks, boost::details::pool::default_mutex, kFirst,
                                     kMost<Object>>;
#endif
};

}  // namespace sky
