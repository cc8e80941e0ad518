// Packets whose way ends in this burst, most of a flood: their buffers go back to the pool together, and drops are
// counted reason by reason. One by one a counter would wait for the store of the one before, and reasons that change
// from packet to packet make the CPU guess wrong which.
#pragma once

#include <rte_mbuf.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>

#include "dataplane/stages/context.h"

namespace sky::dataplane {

/// At most kBurst, then finish(). Nothing of a buffer may be read after it was added.
class Ended {
 public:
  void add(rte_mbuf* buffer) noexcept {
    // What rte_pktmbuf_free_bulk does, but for its look at the second cache line: `next` of one segment is null.
    struct {
      uint16_t references, segments;
    } counts;
    static_assert(offsetof(rte_mbuf, nb_segs) == offsetof(rte_mbuf, refcnt) + sizeof(counts.references));
    std::memcpy(&counts, &buffer->refcnt, sizeof(counts));
    const bool whole = counts.references == 1 && counts.segments == 1 && RTE_MBUF_DIRECT(buffer);
    if (!whole || buffer->pool != pool_) [[unlikely]] {
      // Those of another pool than the first one's go back by themselves.
      if (!whole || count_ != 0) return rte_pktmbuf_free(buffer);
      pool_ = buffer->pool;
    }
    buffers_[count_++] = buffer;
  }
  void drop(rte_mbuf* buffer, Drop why) noexcept {
    reasons_[drops_++] = why;
    add(buffer);
  }
  void finish(Context& context) noexcept {
    if (count_ != 0) rte_mempool_put_bulk(pool_, reinterpret_cast<void**>(buffers_.data()), count_);
    if (drops_ != 0) count_reasons(context);
    count_ = drops_ = 0;
  }

 private:
  static constexpr Drop kCounted = Drop::count;

  void count_reasons(Context& context) noexcept {
    std::fill(reasons_.begin() + drops_, reasons_.end(), kCounted);
    for (const Drop& first : reasons_) {
      const Drop reason = first;
      if (reason == kCounted) continue;
      uint8_t same = 0;
      for (Drop& each : reasons_) {  // without a branch: all of them in a few instructions
        same = static_cast<uint8_t>(same + (each == reason));
        each = each == reason ? kCounted : each;
      }
      context.count(reason, same);
      if ((drops_ -= same) == 0) return;
    }
  }

  rte_mempool* pool_ = nullptr;
  std::array<rte_mbuf*, kBurst> buffers_;
  std::array<Drop, kBurst> reasons_;
  unsigned count_ = 0, drops_ = 0;
};

}  // namespace sky::dataplane
