// A full table of the Internet's size and shape, the same in every run: 1,000,000 IPv4 and 250,000 IPv6 prefixes, as
// many of each length as BGP tables have, the longer ones inside allocations. And a naive longest prefix match over
// them, which says what a look-up must find.
#pragma once

#include <optional>
#include <random>
#include <unordered_map>
#include <vector>

#include "dataplane/tables/destinations.h"

namespace sky::perf {

inline constexpr uint32_t kPrefixes4 = 1'000'000;
inline constexpr uint32_t kPrefixes6 = 250'000;

class Prefixes {
 public:
  Prefixes();

  const std::vector<dataplane::DestinationKey>& all() const { return all_; }
  /// An address inside the prefix, its other bits drawn at random.
  static Ipv6Address inside(const dataplane::DestinationKey& prefix, std::mt19937_64& random);
  /// In all(); nothing when it is not there.
  std::optional<size_t> number_of(const dataplane::DestinationKey& prefix) const;
  /// Of the longest prefix that the address lies in.
  std::optional<size_t> longest(Family family, const Ipv6Address& address) const;

 private:
  struct Hash {
    size_t operator()(const dataplane::DestinationKey& key) const;
  };
  void add(Family family, uint32_t count, uint64_t seed);

  std::vector<dataplane::DestinationKey> all_;
  std::unordered_map<dataplane::DestinationKey, size_t, Hash> numbers_;
};

}  // namespace sky::perf
