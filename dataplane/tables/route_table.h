// The route table: an array of 32-byte rules, its capacity a power of two fixed at start. The low bits of a route ID
// are the index, the rest must match what stands there, and so must the link the packet came by: a route ID is an
// index, never a capability. A rule's first eight bytes (route ID, link, action) are written last and cleared first.
// Cost of a look-up: one cache line.
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

static_assert(offsetof(Rule, route_id) == 0 && offsetof(Rule, next_link) == sizeof(RuleHead) &&
              offsetof(Rule, alternate_route) == 16 && offsetof(Rule, session) == 24);

template <typename Word>
Word load(const Rule& rule, unsigned word, int order = __ATOMIC_RELAXED) noexcept {
  static_assert(sizeof(Word) == sizeof(uint64_t));
  return __builtin_bit_cast(Word, __atomic_load_n(reinterpret_cast<const uint64_t*>(&rule) + word, order));
}
inline RuleHead head_of(const Rule& rule) noexcept {
  return load<RuleHead>(rule, 0, __ATOMIC_ACQUIRE);
}
/// Whether the rule that stands at that place is the one for a route ID, not 0, that came by a link; why not else.
inline bool is_for(const RuleHead& head, RouteId route, LinkIndex link) noexcept {
  return ((__builtin_bit_cast(uint64_t, head) ^ (to_underlying(route) | uint64_t{to_underlying(link)} << 32)) << 16) ==
         0;
}
inline Drop why_not(const RuleHead& head, RouteId route) noexcept {
  return head.action == RuleAction::none || head.route_id != route ? Drop::unknown_route : Drop::wrong_link;
}
inline RuleNext next_of(const Rule& rule) noexcept {
  return load<RuleNext>(rule, offsetof(Rule, next_link) / sizeof(uint64_t));
}
inline RuleBack back_of(const Rule& rule) noexcept {
  return load<RuleBack>(rule, offsetof(Rule, alternate_route) / sizeof(uint64_t));
}
inline End end_of(const Rule& rule) noexcept {
  return load<End>(rule, offsetof(Rule, session) / sizeof(uint64_t));
}

/// What workers look rules up in. Small enough to be copied for a burst: it then stays in registers, while a reference
/// would be read anew behind every byte that a stage writes.
class RouteView {
 public:
  RouteView(const Rule* rules, uint32_t mask) : rules_(rules), mask_(mask) {}

  const Rule& at(RouteId route) const noexcept { return rules_[index_of(route)]; }
  void prefetch(RouteId route) const noexcept { __builtin_prefetch(&rules_[index_of(route)]); }
  uint32_t index_of(RouteId route) const noexcept { return to_underlying(route) & mask_; }

 private:
  const Rule* rules_;
  uint32_t mask_;
};

class RouteTable {
 public:
  explicit RouteTable(uint32_t capacity, bool hugepages = false)
      : mask_(capacity - 1), rules_(capacity, hugepages), owners_(capacity) {}

  RouteView view() const noexcept { return {&rules_[0], mask_}; }

  // Main core's side.
  uint32_t capacity() const { return mask_ + 1; }
  uint32_t index_of(RouteId route) const { return view().index_of(route); }
  bool occupied(uint32_t index) const { return rules_[index].action != RuleAction::none; }
  const Rule& at(uint32_t index) const { return rules_[index]; }
  const RuleOwner& owner(uint32_t index) const { return owners_[index]; }
  void prefetch(RouteId route) const noexcept {
    __builtin_prefetch(&rules_[index_of(route)]);
    __builtin_prefetch(&owners_[index_of(route)]);
  }
  void put(const RuleMessage& message) noexcept;
  void erase(RouteId route) noexcept;

 private:
  uint32_t mask_;
  ZeroedArray<Rule> rules_;
  ZeroedArray<RuleOwner> owners_;
};

inline void RouteTable::put(const RuleMessage& message) noexcept {
  const uint32_t index = index_of(message.rule.route_id);
  owners_[index] = {message.circuit, message.cookie, message.copied};
  const auto words = __builtin_bit_cast(RuleWords, message.rule);
  auto* standing = reinterpret_cast<uint64_t*>(&rules_[index]);
  for (size_t i = 1; i < words.size(); ++i) __atomic_store_n(standing + i, words[i], __ATOMIC_RELAXED);
  __atomic_store_n(standing, words[0], __ATOMIC_RELEASE);
}

inline void RouteTable::erase(RouteId route) noexcept {
  __atomic_store_n(reinterpret_cast<uint64_t*>(&rules_[index_of(route)]), 0, __ATOMIC_RELEASE);
}

}  // namespace sky::dataplane
