// What a driver does between two turns of a worker whose packets end with it: as many buffers as came back to the pool
// go into its ring again. Without, a chunk's would all come back at once, through the pool's cache into its ring.
#pragma once

#include <rte_mbuf.h>

#include <array>

#include "dataplane/batch.h"
#include "perf/loop/cases.h"

namespace sky::perf {

class Refills {
 public:
  explicit Refills(rte_mempool* pool) : pool_(pool) {}
  Refills(const Refills&) = delete;
  Refills& operator=(const Refills&) = delete;
  ~Refills() { rte_pktmbuf_free_bulk(buffers_.data(), count_); }

  /// A burst's, kChunk in all.
  void take() {
    if (rte_pktmbuf_alloc_bulk(pool_, &buffers_[count_], dataplane::kBurst) == 0) count_ += dataplane::kBurst;
  }

 private:
  rte_mempool* pool_;
  std::array<rte_mbuf*, kChunk> buffers_;
  unsigned count_ = 0;
};

}  // namespace sky::perf
