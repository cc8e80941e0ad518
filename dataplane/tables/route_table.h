// The route table: an array of rules, its capacity a power of two fixed at start. The low bits of a route ID are the
// index, the rest must match what stands there, and so must the link the packet came by: a route ID is an index, never
// a capability. What every packet asks of a rule stands in an array of its own, 16 bytes each: a quarter of a cache
// line, so that more of a large table lies in the caches and in the pages that a CPU knows. Its first eight bytes
// (route ID, link, action) are written last and cleared first. Cost of a look-up: one cache line; one more where the
// alternate is taken.
#pragma once

#include <sys/mman.h>

#include <array>
#include <cstddef>
#include <new>

#include "dataplane/batch.h"
#include "dataplane/protocol/counters.h"
#include "dataplane/protocol/install.h"

namespace sky::dataplane {

/// Kept beside a rule so that a control plane that returns adopts what stands.
struct RuleOwner {
  CircuitId circuit;
  uint64_t cookie;
  uint16_t copied;
};

/// An array of zeroes that takes memory only where it is written: a large table that is nearly empty costs little. In
/// hugepages, where the kernel has transparent ones, it takes 2 MiB at a time, and a look-up at random no walk through
/// page tables.
template <typename T>
class ZeroedArray {
 public:
  explicit ZeroedArray(size_t count, bool hugepages = false) : bytes_(count * sizeof(T)) {
    void* memory = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) throw std::bad_alloc();
    if (hugepages) madvise(memory, bytes_, MADV_HUGEPAGE);
    items_ = static_cast<T*>(memory);
  }
  ZeroedArray(const ZeroedArray&) = delete;
  ZeroedArray& operator=(const ZeroedArray&) = delete;
  ~ZeroedArray() { munmap(items_, bytes_); }

  T& operator[](size_t index) { return items_[index]; }
  const T& operator[](size_t index) const { return items_[index]; }

 private:
  size_t bytes_;
  T* items_;
};

using RuleWords = std::array<uint64_t, sizeof(Rule) / sizeof(uint64_t)>;
inline constexpr size_t kBackWord = offsetof(Rule, alternate_route) / sizeof(uint64_t);

// A rule may be put anew or deleted while a worker looks at it, so a worker reads it by words: each is one that stood.
// What belongs together lies in one, but for an alternate, whose link and route ID a put changes one after the other.
struct RuleHead {
  RouteId route_id;
  LinkIndex in_link;
  RuleAction action;
  uint8_t treatment;
};
struct RuleNext {
  LinkIndex link, alternate_link;
  RouteId route;
};
struct RuleBack {
  RouteId alternate_route, twin;
};

/// What every packet asks for.
struct RuleFront {
  uint64_t head;
  uint64_t onward;  ///< RuleNext of a rule that forwards, End of one that consumes
};

template <typename Word>
Word load(const uint64_t& word, int order = __ATOMIC_RELAXED) noexcept {
  static_assert(sizeof(Word) == sizeof(uint64_t));
  return __builtin_bit_cast(Word, __atomic_load_n(&word, order));
}
/// `order` is not looked at where faults are planted (tests/threads/planted.h).
template <typename Word>
void store(uint64_t& word, Word value, [[maybe_unused]] int order = __ATOMIC_RELAXED) noexcept {
  __atomic_store_n(&word, __builtin_bit_cast(uint64_t, value), order);
}
inline RuleHead head_of(const RuleFront& rule) noexcept {
  return load<RuleHead>(rule.head, __ATOMIC_ACQUIRE);
}
/// Whether the rule that stands at that place is the one for a route ID, not 0, that came by a link; why not else.
inline bool is_for(const RuleHead& head, RouteId route, LinkIndex link) noexcept {
  return ((__builtin_bit_cast(uint64_t, head) ^ (to_underlying(route) | uint64_t{to_underlying(link)} << 32)) << 16) ==
         0;
}
inline Drop why_not(const RuleHead& head, RouteId route) noexcept {
  return head.action == RuleAction::none || head.route_id != route ? Drop::unknown_route : Drop::wrong_link;
}
inline RuleNext next_of(const RuleFront& rule) noexcept {
  return load<RuleNext>(rule.onward);
}
inline End end_of(const RuleFront& rule) noexcept {
  return load<End>(rule.onward);
}

/// What workers look rules up in. Small enough to be copied for a burst: it then stays in registers, while a reference
/// would be read anew behind every byte that a stage writes.
class RouteView {
 public:
  RouteView(const RuleFront* fronts, const Rule* rules, uint32_t mask) : fronts_(fronts), rules_(rules), mask_(mask) {}

  const RuleFront& at(RouteId route) const noexcept { return fronts_[index_of(route)]; }
  RuleBack back(RouteId route) const noexcept {
    return load<RuleBack>(reinterpret_cast<const uint64_t*>(&rules_[index_of(route)])[kBackWord]);
  }
  void prefetch(RouteId route) const noexcept { __builtin_prefetch(&fronts_[index_of(route)]); }
  uint32_t index_of(RouteId route) const noexcept { return to_underlying(route) & mask_; }

 private:
  const RuleFront* fronts_;
  const Rule* rules_;
  uint32_t mask_;
};

class RouteTable {
 public:
  explicit RouteTable(uint32_t capacity, bool hugepages = false)
      : mask_(capacity - 1), fronts_(capacity, hugepages), rules_(capacity, hugepages), owners_(capacity) {}

  RouteView view() const noexcept { return {&fronts_[0], &rules_[0], mask_}; }

  // Main core's side.
  uint32_t capacity() const { return mask_ + 1; }
  uint32_t index_of(RouteId route) const { return view().index_of(route); }
  bool occupied(uint32_t index) const { return rules_[index].action != RuleAction::none; }
  const Rule& at(uint32_t index) const { return rules_[index]; }
  const RuleOwner& owner(uint32_t index) const { return owners_[index]; }
  void prefetch(RouteId route) const noexcept {
    __builtin_prefetch(&fronts_[index_of(route)]);
    __builtin_prefetch(&rules_[index_of(route)]);
    __builtin_prefetch(&owners_[index_of(route)]);
  }
  /// What the standing rule of that ID does stays the same, or it was erased a grace period ago: `onward` would be read
  /// as the other one's.
  void put(const RuleMessage& message) noexcept;
  void erase(RouteId route) noexcept;

 private:
  uint32_t mask_;
  ZeroedArray<RuleFront> fronts_;
  ZeroedArray<Rule> rules_;  ///< as put; of it, workers read RuleBack
  ZeroedArray<RuleOwner> owners_;
};

inline void RouteTable::put(const RuleMessage& message) noexcept {
  const Rule& put = message.rule;
  const uint32_t index = index_of(put.route_id);
  owners_[index] = {message.circuit, message.cookie, message.copied};
  const auto words = __builtin_bit_cast(RuleWords, put);
  auto* const standing = reinterpret_cast<uint64_t*>(&rules_[index]);
  for (size_t i = 0; i < words.size(); ++i) store(standing[i], words[i]);
  RuleFront& front = fronts_[index];
  if (put.action == RuleAction::forward) {
    store(front.onward, RuleNext{put.next_link, put.alternate_link, put.next_route});
  } else {
    store(front.onward, End{put.session, put.stream, put.streams, put.worker});
  }
  store(front.head, RuleHead{put.route_id, put.in_link, put.action, put.treatment}, __ATOMIC_RELEASE);
}

inline void RouteTable::erase(RouteId route) noexcept {
  const uint32_t index = index_of(route);
  store(fronts_[index].head, RuleHead{}, __ATOMIC_RELEASE);
  rules_[index].action = RuleAction::none;
}

}  // namespace sky::dataplane
