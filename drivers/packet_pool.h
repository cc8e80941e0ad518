// A port's buffers: one pool, data room for its largest frame. The whole of its memory is taken when it is made.
#pragma once

#include <rte_mempool.h>

#include <cstddef>
#include <cstdint>
#include <string>

#include "dataplane/base/result.h"

namespace sky::drivers {

struct PoolSize {
  uint32_t buffers;
  uint32_t frame_bytes;    ///< behind the headroom
  bool one_piece = false;  ///< buffers side by side in one piece of memory, also over the ends of pages
};

/// What the pool takes at most.
size_t pool_bytes(const PoolSize& size);
Result<rte_mempool*> make_pool(const std::string& name, const PoolSize& size);

}  // namespace sky::drivers
