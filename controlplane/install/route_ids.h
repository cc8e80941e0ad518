// Route IDs of this node: which are in use, which rest. The low bits of an ID are its index in the route table, drawn
// at random among the free ones of its beginning, at least twice as many as are in use: rules that lie close together
// are found through fewer pages. The high bits are random and change with each use; 0 is never given out. A freed index
// rests, so that frames on their way to the old rule never meet a new one. Cost: 4 bytes an index; allocate() a few
// draws while a fair part of the table is free. Source: docs/protocol.md, "Route IDs".
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

#include "controlplane/core/random.h"
#include "dataplane/base/ids.h"

namespace sky::controlplane {

inline constexpr uint64_t kRouteRest_ns = 2'000'000'000;
inline constexpr uint32_t kLeastDrawnFrom = 1024;  ///< indices, however few are in use

class RouteIds {
 public:
  /// `capacity`: a power of two, the size of the route table. `random` outlives it.
  RouteIds(uint32_t capacity, Random& random);

  /// Nothing when every index is in use or rests.
  std::optional<RouteId> allocate(uint64_t now_ns);
  /// For an ID that stands already: false when its index is in use by another.
  bool adopt(RouteId id);
  /// No rule of that ID stands any more as of `now_ns`. An ID that is not in use is left alone.
  void release(RouteId id, uint64_t now_ns);

  /// How many indices, a power of two, the next one is drawn from while so many are in use.
  static uint32_t drawn_from(uint32_t used, uint32_t capacity) {
    return std::min(capacity, std::max(kLeastDrawnFrom, std::bit_ceil(2 * (used + 1))));
  }

  uint32_t used() const { return used_; }
  uint32_t capacity() const { return static_cast<uint32_t>(ids_.size()); }

 private:
  struct Resting {
    uint32_t index;
    uint64_t until_ns;
  };
  uint32_t index_of(RouteId id) const { return to_underlying(id) & (capacity() - 1); }
  void end_rests(uint64_t now_ns);

  Random& random_;
  std::vector<RouteId> ids_;  ///< by index; 0 where free
  std::deque<Resting> resting_;
  std::vector<bool> rests_;  ///< by index
  uint32_t used_ = 0;        ///< in use or resting
};

}  // namespace sky::controlplane
