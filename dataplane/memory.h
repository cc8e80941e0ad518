// How much memory a configuration asks for, known before the EAL starts: what DPDK takes at once (buffers, destination
// maps), and what tables take when they are full (they touch memory only as they fill). `skyedge-dataplane --check`
// prints it; what does not fit is refused before anything is started.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "dataplane/base/config.h"
#include "dataplane/base/result.h"

namespace sky::dataplane {

struct MemoryPart {
  std::string name;
  uint64_t eal_bytes;   ///< at the start, from hugepages where these are used
  uint64_t heap_bytes;  ///< plain pages, when full
};

struct MemoryNeed {
  std::vector<MemoryPart> parts;

  uint64_t eal_bytes() const;
  uint64_t heap_bytes() const;
};

MemoryNeed memory_need(const RouterConfig& config);

/// One line a part, and the sum.
std::string to_string(const MemoryNeed& need);

/// Against /proc/meminfo: available memory, and free hugepages where they are used.
Result<> check_memory(const MemoryNeed& need, bool hugepages);

}  // namespace sky::dataplane
