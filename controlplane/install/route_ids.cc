#include "controlplane/install/route_ids.h"

#include <bit>
#include <cassert>

namespace sky::controlplane {
namespace {

constexpr unsigned kDraws = 32;
constexpr RouteId kFree{0};

}  // namespace

RouteIds::RouteIds(uint32_t capacity, Random& random) : random_(random), ids_(capacity, kFree), rests_(capacity) {
  assert(std::has_single_bit(capacity));
}

void RouteIds::end_rests(uint64_t now_ns) {
  while (!resting_.empty() && resting_.front().until_ns <= now_ns) {
    const uint32_t index = resting_.front().index;
    ids_[index] = kFree;
    rests_[index] = false;
    --used_;
    resting_.pop_front();
  }
}

std::optional<RouteId> RouteIds::allocate(uint64_t now_ns) {
  end_rests(now_ns);
  if (used_ == capacity()) return std::nullopt;
  const uint32_t window = drawn_from(used_, capacity()) - 1, high = random_.number<uint32_t>() & ~(capacity() - 1);
  uint32_t index = random_.number<uint32_t>() & window;
  for (unsigned draws = 0; draws < kDraws && ids_[index] != kFree; ++draws) index = random_.number<uint32_t>() & window;
  while (ids_[index] != kFree) index = (index + 1) & window;
  ++used_;
  const uint32_t id = high | index;
  return ids_[index] = RouteId{id != 0 ? id : capacity()};  // the same index under other high bits
}

bool RouteIds::adopt(RouteId id) {
  if (id == kFree || ids_[index_of(id)] != kFree) return false;
  ++used_;
  ids_[index_of(id)] = id;
  return true;
}

void RouteIds::release(RouteId id, uint64_t now_ns) {
  const uint32_t index = index_of(id);
  if (id == kFree || ids_[index] != id || rests_[index]) return;
  rests_[index] = true;
  resting_.push_back({index, now_ns + kRouteRest_ns});
}

}  // namespace sky::controlplane
