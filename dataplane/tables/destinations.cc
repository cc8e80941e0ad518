#include "dataplane/tables/destinations.h"

#include <rte_errno.h>
#include <rte_fib.h>
#include <rte_fib6.h>
#include <rte_memory.h>

#include <algorithm>
#include <cassert>
#include <utility>

#include "dataplane/batch.h"

namespace sky::dataplane {

namespace {

// A FIB's next hop: 0 nothing, 1 this node, else group + 2.
constexpr uint64_t kNothing = 0;
constexpr uint64_t kLocal = 1;
constexpr uint64_t kFirstGroup = 2;

uint64_t to_next_hop(GroupIndex group) {
  return group == kLocalGroup ? kLocal : to_underlying(group) + kFirstGroup;
}

GroupIndex to_group(uint64_t next_hop) {
  if (next_hop == kNothing) return kNoGroup;
  if (next_hop == kLocal) return kLocalGroup;
  return GroupIndex{static_cast<uint32_t>(next_hop - kFirstGroup)};
}

// So much of a copy's second-level tables may be lost to deletes while puts are refused for want of them.
constexpr uint32_t kLostShare = 16;

// Two-byte entries hold 15 bits of next hop or of second-level table, and take half the memory: IPv4 of the default
// size fits, IPv6 of a small router.
constexpr uint32_t kSmallLimit = (1u << 15) - kFirstGroup;

uint32_t prefixes6(const DestinationSizes& sizes) {
  return sizes.prefixes6 == 0 ? sizes.prefixes : sizes.prefixes6;
}
uint32_t second_level4(const DestinationSizes& sizes) {
  return sizes.prefixes / 4 + 256;
}
uint32_t second_level6(const DestinationSizes& sizes) {
  const uint32_t wanted = prefixes6(sizes) + prefixes6(sizes) / 4 + 1024;
  return prefixes6(sizes) <= 8192 ? std::min(wanted * 3, kSmallLimit) : wanted;
}
bool is_small(const DestinationSizes& sizes, uint32_t second_level) {
  return sizes.groups < kSmallLimit && second_level <= kSmallLimit;
}
bool small4(const DestinationSizes& sizes) {
  return is_small(sizes, second_level4(sizes));
}
bool small6(const DestinationSizes& sizes) {
  return is_small(sizes, second_level6(sizes));
}

uint32_t read_be32(const Ipv6Address& bytes) {
  return uint32_t{bytes[0]} << 24 | uint32_t{bytes[1]} << 16 | uint32_t{bytes[2]} << 8 | bytes[3];
}

}  // namespace

Result<std::unique_ptr<DestinationMap>> DestinationMap::create(const std::string& name, const DestinationSizes& sizes) {
  std::unique_ptr<DestinationMap> map(new DestinationMap(name, sizes));
  for (Copy& copy : map->copies_.both()) {
    if (!map->make4(copy) || !map->make6(copy)) {
      return fail("destination map for {} prefixes: {}; give the dataplane more memory or fewer prefixes",
                  sizes.prefixes, rte_strerror(rte_errno));
    }
  }
  return map;
}

/// Both kinds make pools by their names, so all four differ.
std::string DestinationMap::name_of(const Copy& copy, int family) {
  return fmt::format("{}.{}.{}", name_, &copy == copies_.both().data() ? 0 : 1, family);
}

bool DestinationMap::make4(Copy& copy) {
  rte_fib_conf conf{};
  conf.type = RTE_FIB_DIR24_8;
  conf.default_nh = kNothing;
  conf.max_routes = static_cast<int>(sizes_.prefixes);
  conf.dir24_8 = {small4(sizes_) ? RTE_FIB_DIR24_8_2B : RTE_FIB_DIR24_8_4B, second_level4(sizes_)};
  copy.v4 = rte_fib_create(name_of(copy, 4).c_str(), SOCKET_ID_ANY, &conf);
  return copy.v4 != nullptr;
}

bool DestinationMap::make6(Copy& copy) {
  rte_fib6_conf conf{};
  conf.type = RTE_FIB6_TRIE;
  conf.default_nh = kNothing;
  conf.max_routes = static_cast<int>(prefixes6(sizes_));
  conf.trie = {small6(sizes_) ? RTE_FIB6_TRIE_2B : RTE_FIB6_TRIE_4B, second_level6(sizes_)};
  copy.v6 = rte_fib6_create(name_of(copy, 6).c_str(), SOCKET_ID_ANY, &conf);
  copy.lost6 = 0;
  return copy.v6 != nullptr;
}

/// From what stands, and what is staged on top of it. Without memory the copy is left without a table, and is made
/// before anything else is staged.
bool DestinationMap::renew6(Copy& copy) {
  rte_fib6_free(std::exchange(copy.v6, nullptr));
  if (!make6(copy)) return false;
  for (const auto& entry : entries_) {
    if (entry && entry->key.family == Family::ipv6) write(copy, *entry);
  }
  for (const Entry& change : staged_) {
    if (change.key.family == Family::ipv6) write(copy, change);
  }
  return true;
}

DestinationMap::~DestinationMap() {
  for (Copy& copy : copies_.both()) {
    rte_fib_free(copy.v4);
    rte_fib6_free(copy.v6);
  }
}

void DestinationMap::find6(uint8_t addresses[][16], GroupIndex* groups, unsigned n) const noexcept {
  std::array<uint64_t, kBurst> hops;
  rte_fib6_lookup_bulk(copies_.shown().v6, addresses, hops.data(), static_cast<int>(n));
  std::transform(hops.begin(), hops.begin() + n, groups, to_group);
}

void DestinationMap::find4(uint32_t* addresses, GroupIndex* groups, unsigned n) const noexcept {
  std::array<uint64_t, kBurst> hops;
  rte_fib_lookup_bulk(copies_.shown().v4, addresses, hops.data(), static_cast<int>(n));
  std::transform(hops.begin(), hops.begin() + n, groups, to_group);
}

bool DestinationMap::write(Copy& copy, const Entry& change) {
  const DestinationKey& key = change.key;
  const bool erase = change.group == kNoGroup;
  if (key.family == Family::ipv4) {
    const uint32_t prefix = read_be32(key.prefix);
    return (erase ? rte_fib_delete(copy.v4, prefix, key.length)
                  : rte_fib_add(copy.v4, prefix, key.length, to_next_hop(change.group))) == 0;
  }
  const uint8_t* prefix = key.prefix.data();
  if (!erase) return rte_fib6_add(copy.v6, prefix, key.length, to_next_hop(change.group)) == 0;
  if (rte_fib6_delete(copy.v6, prefix, key.length) != 0) return false;
  if (key.length > 24) copy.lost6 += (key.length - 24 + 7) / 8;
  return true;
}

bool DestinationMap::stage(const Entry& change) {
  Copy& copy = copies_.hidden();
  if (copy.v6 == nullptr && !renew6(copy)) return false;
  const bool renewable = change.key.family == Family::ipv6 && copy.lost6 >= second_level6(sizes_) / kLostShare;
  if (!write(copy, change) && !(renewable && renew6(copy) && write(copy, change))) return false;
  staged_.push_back(change);
  return true;
}

void DestinationMap::unstage() {
  Copy& copy = copies_.hidden();
  const std::vector<Entry> changes = std::exchange(staged_, {});
  bool undone = copy.v6 != nullptr;
  for (auto change = changes.rbegin(); change != changes.rend(); ++change) {
    if (copy.v6 == nullptr && change->key.family == Family::ipv6) continue;
    const Entry* stood = find(change->key);
    undone &= write(copy, stood != nullptr ? *stood : Entry{change->key, kNoGroup, 0});
  }
  if (!undone) renew6(copy);
}

void DestinationMap::publish(const std::function<void()>& wait_for_workers) {
  if (staged_.empty()) return;
  copies_.swap(wait_for_workers);
  Copy& copy = copies_.hidden();
  bool same = true;
  for (const Entry& change : std::exchange(staged_, {})) {
    same &= write(copy, change);  // to the same content, but it may be this copy's turn to be made anew
    keep(change);
  }
  if (!same) renew6(copy);
}

const DestinationMap::Entry* DestinationMap::find(const DestinationKey& key) const {
  const auto slot = slots_.find(key);
  return slot == slots_.end() ? nullptr : &*entries_[slot->second];
}

std::optional<std::pair<uint32_t, DestinationMap::Entry>> DestinationMap::next(uint32_t from) const {
  for (uint32_t slot = from; slot < entries_.size(); ++slot) {
    if (entries_[slot]) return std::pair{slot, *entries_[slot]};
  }
  return std::nullopt;
}

void DestinationMap::keep(const Entry& change) {
  const auto stood = slots_.find(change.key);
  if (change.group == kNoGroup) {
    if (stood == slots_.end()) return;
    entries_[stood->second].reset();
    free_.push_back(stood->second);
    slots_.erase(stood);
    return;
  }
  if (stood != slots_.end()) {
    entries_[stood->second] = change;
    return;
  }
  uint32_t slot = static_cast<uint32_t>(entries_.size());
  if (free_.empty()) {
    entries_.emplace_back(change);
  } else {
    slot = free_.back();
    free_.pop_back();
    entries_[slot] = change;
  }
  slots_[change.key] = slot;
}

size_t DestinationMap::memory_bytes(const DestinationSizes& sizes) {
  const size_t entry4 = small4(sizes) ? 2 : 4;
  const size_t entry6 = small6(sizes) ? 2 : 4;
  const size_t first_levels = (entry4 + entry6) << 24;
  const size_t second_levels = 256 * (entry4 * second_level4(sizes) + entry6 * second_level6(sizes));
  // Two nodes a prefix in each RIB's pool, whose elements measured at 216 bytes, and the pools themselves.
  const size_t rib_nodes = (size_t{sizes.prefixes} + prefixes6(sizes)) * 2 * 216 + (1 << 20);
  return 2 * (first_levels + second_levels + rib_nodes);
}

}  // namespace sky::dataplane
