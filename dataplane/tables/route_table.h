// The route table: an array of 32-byte rules, its capacity a power of two fixed at start. The low bits of a route ID
// are the index, the rest must match what stands there, and so must the link the packet came by: a route ID is an
// index, never a capability. A rule's first eight bytes (route ID, link, action) are written last and cleared first.
// Cost of a look-up: one cache line.
#pragma once

#include <sys/mman.h>

#include <array>
#include <new>

#include "dataplane/protocol/counters.h"
#include "dataplane/protocol/install.h"

namespace sky::dataplane {

/// Kept beside a rule so that a control plane that returns adopts what stands.
struct RuleOwner {
  CircuitId circuit;
  uint64_t cookie;
};

/// An array of zeroes that takes memory only where it is written: a large table that is nearly empty costs little.
template <typename T>
class ZeroedArray {
 public:
  explicit ZeroedArray(size_t count) : bytes_(count * sizeof(T)) {
    void* memory = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) throw std::bad_alloc();
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

class RouteTable {
 public:
  explicit RouteTable(uint32_t capacity) : mask_(capacity - 1), rules_(capacity), owners_(capacity) {}

  /// Worker: copies out the rule for a route ID that came by a link; false, and why, where there is none. A rule may be
  /// put anew or deleted meanwhile: the copy is one that stood, but for an alternate that changes with it, whose link
  /// and route ID lie in two words.
  bool find(RouteId route, LinkIndex link, Rule& out, Drop& why) const noexcept {
    const Rule& rule = rules_[index_of(route)];
    const Head head = load_head(rule);
    if (head.action == RuleAction::none || head.route_id != route) {
      why = Drop::unknown_route;
      return false;
    }
    if (head.in_link != link) {
      why = Drop::wrong_link;
      return false;
    }
    std::array<uint64_t, kWords> words{__builtin_bit_cast(uint64_t, head)};
    for (size_t i = 1; i < kWords; ++i) words[i] = __atomic_load_n(words_of(rule) + i, __ATOMIC_RELAXED);
    out = __builtin_bit_cast(Rule, words);
    return true;
  }
  void prefetch(RouteId route) const noexcept { __builtin_prefetch(&rules_[index_of(route)]); }

  // Main core's side.
  uint32_t capacity() const { return mask_ + 1; }
  uint32_t index_of(RouteId route) const { return to_underlying(route) & mask_; }
  bool occupied(uint32_t index) const { return rules_[index].action != RuleAction::none; }
  const Rule& at(uint32_t index) const { return rules_[index]; }
  const RuleOwner& owner(uint32_t index) const { return owners_[index]; }
  void put(const RuleMessage& message) noexcept;
  void erase(RouteId route) noexcept;

 private:
  struct Head {
    RouteId route_id;
    LinkIndex in_link;
    RuleAction action;
    uint8_t queue_class;
  };
  static_assert(sizeof(Head) == 8);

  static constexpr size_t kWords = sizeof(Rule) / sizeof(uint64_t);

  static const uint64_t* words_of(const Rule& rule) noexcept { return reinterpret_cast<const uint64_t*>(&rule); }
  static uint64_t* words_of(Rule& rule) noexcept { return reinterpret_cast<uint64_t*>(&rule); }
  static Head load_head(const Rule& rule) noexcept {
    return __builtin_bit_cast(Head, __atomic_load_n(words_of(rule), __ATOMIC_ACQUIRE));
  }
  static void store_head(Rule& rule, uint64_t head) noexcept {
    __atomic_store_n(words_of(rule), head, __ATOMIC_RELEASE);
  }

  uint32_t mask_;
  ZeroedArray<Rule> rules_;
  ZeroedArray<RuleOwner> owners_;
};

inline void RouteTable::put(const RuleMessage& message) noexcept {
  const uint32_t index = index_of(message.rule.route_id);
  owners_[index] = {message.circuit, message.cookie};
  const auto words = __builtin_bit_cast(std::array<uint64_t, kWords>, message.rule);
  for (size_t i = 1; i < kWords; ++i) __atomic_store_n(words_of(rules_[index]) + i, words[i], __ATOMIC_RELAXED);
  store_head(rules_[index], words[0]);
}

inline void RouteTable::erase(RouteId route) noexcept {
  store_head(rules_[index_of(route)], 0);
}

}  // namespace sky::dataplane
