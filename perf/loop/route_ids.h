// Where a case's rules stand: where the control plane would have put them.
#pragma once

#include <algorithm>
#include <cstdint>
#include <random>
#include <ranges>
#include <vector>

#include "controlplane/install/route_ids.h"

namespace sky::perf {

using controlplane::RouteIds;

/// Route IDs of so many circuits as they are given out for a table of that capacity (controlplane/install/route_ids.h),
/// from index `first` on; in that order, the same in every run.
inline std::vector<uint32_t> route_ids(uint32_t first, uint32_t count, uint32_t capacity) {
  std::mt19937 random(1);
  std::vector<uint32_t> ids(count);
  const auto indices = std::views::iota(first, first + RouteIds::drawn_from(count, capacity));
  std::ranges::sample(indices, ids.begin(), count, random);
  for (uint32_t& id : ids) {
    id |= static_cast<uint32_t>(random()) & ~(capacity - 1);
    if (id == 0) id = capacity;
  }
  return ids;
}

}  // namespace sky::perf
