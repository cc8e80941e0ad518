#include "perf/loop/prefixes.h"

#include <algorithm>
#include <ranges>
#include <span>
#include <tuple>

namespace sky::perf {

using dataplane::DestinationKey;

namespace {

struct Share {
  uint8_t length;
  unsigned of_thousand;
};
// As of 2024 in what routers of the default-free zone hold, rounded.
constexpr Share kShares4[]{{12, 1},  {13, 1},  {14, 1},  {15, 2},   {16, 13},  {17, 8},  {18, 14},
                           {19, 25}, {20, 45}, {21, 53}, {22, 115}, {23, 105}, {24, 617}};
constexpr Share kShares6[]{{29, 30}, {32, 125}, {33, 10}, {34, 10}, {36, 35}, {38, 8},  {40, 100},
                           {42, 12}, {44, 110}, {45, 10}, {46, 40}, {47, 40}, {48, 470}};
constexpr uint64_t kAllocations6 = 60'000;  // each a /32 of 2000::/3, used here and there

std::span<const Share> shares_of(Family family) {
  return family == Family::ipv4 ? std::span<const Share>(kShares4) : kShares6;
}

void mask(Ipv6Address& address, unsigned length) {
  for (unsigned i = 0; i < address.size(); ++i) {
    const unsigned kept = std::clamp(static_cast<int>(length) - static_cast<int>(8 * i), 0, 8);
    address[i] &= static_cast<uint8_t>(0xff00u >> kept);
  }
}

Ipv6Address random_address(Family family, std::mt19937_64& random) {
  std::array<uint64_t, 2> words{random(), random()};
  auto address = std::bit_cast<Ipv6Address>(words);
  if (family == Family::ipv4) {
    address[0] = static_cast<uint8_t>(1 + address[0] % 223);  // unicast
    if (address[0] == 10 || address[0] == 127) address[0] = 11;
    mask(address, 32);
    return address;
  }
  const uint64_t allocation = (random() % kAllocations6 + 1) * 0x9e3779b97f4a7c15;
  for (unsigned i = 0; i < 4; ++i) address[i] = static_cast<uint8_t>(allocation >> (56 - 8 * i));
  address[0] = static_cast<uint8_t>(0x20 | (address[0] & 0x1f));
  address[4] &= 0xe0;
  return address;
}

}  // namespace

size_t Prefixes::Hash::operator()(const DestinationKey& key) const {
  const auto words = std::bit_cast<std::array<uint64_t, 2>>(key.prefix);
  constexpr uint64_t kOdd = 0x9e3779b97f4a7c15;
  const uint64_t hash = ((words[0] * kOdd) ^ std::rotl(words[1], 17) ^ key.length) * kOdd;
  return hash ^ hash >> 32;
}

Prefixes::Prefixes() {
  numbers_.reserve(kPrefixes4 + kPrefixes6);
  add(Family::ipv4, kPrefixes4, 4);
  add(Family::ipv6, kPrefixes6, 6);
  // Neighbours one after the other load several times as fast.
  std::ranges::sort(all_, {}, [](const DestinationKey& key) { return std::tuple(key.family, key.prefix, key.length); });
  for (size_t i = 0; i < all_.size(); ++i) numbers_[all_[i]] = i;
}

void Prefixes::add(Family family, uint32_t count, uint64_t seed) {
  std::mt19937_64 random(seed);
  for (const Share& share : shares_of(family)) {
    uint64_t left = uint64_t{count} * share.of_thousand / 1000;
    while (left > 0) {
      DestinationKey key{family, share.length, random_address(family, random)};
      mask(key.prefix, key.length);
      if (!numbers_.emplace(key, all_.size()).second) continue;
      all_.push_back(key);
      --left;
    }
  }
}

Ipv6Address Prefixes::inside(const DestinationKey& prefix, std::mt19937_64& random) {
  Ipv6Address address = std::bit_cast<Ipv6Address>(std::array<uint64_t, 2>{random(), random()});
  Ipv6Address kept = address;
  mask(kept, prefix.length);
  for (size_t i = 0; i < address.size(); ++i)
    address[i] = static_cast<uint8_t>((address[i] ^ kept[i]) | prefix.prefix[i]);
  if (prefix.family == Family::ipv4) mask(address, 32);
  return address;
}

std::optional<size_t> Prefixes::number_of(const DestinationKey& prefix) const {
  const auto found = numbers_.find(prefix);
  return found == numbers_.end() ? std::nullopt : std::optional(found->second);
}

std::optional<size_t> Prefixes::longest(Family family, const Ipv6Address& address) const {
  for (const Share& share : std::views::reverse(shares_of(family))) {
    DestinationKey key{family, share.length, address};
    mask(key.prefix, key.length);
    if (const auto number = number_of(key)) return number;
  }
  return std::nullopt;
}

}  // namespace sky::perf
