// Bytes of packets, written by hand: big-endian words and plain IP packets (RFC 8200, RFC 791) for tests.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "dataplane/base/ids.h"

namespace sky::test {

using Bytes = std::vector<uint8_t>;

/// Appends the low `count` bytes of `value`, most significant first.
inline void put(Bytes& out, uint64_t value, unsigned count) {
  while (count-- > 0) out.push_back(static_cast<uint8_t>(value >> 8 * count));
}

inline uint64_t get(std::span<const uint8_t> in, size_t at, unsigned count) {
  uint64_t value = 0;
  for (unsigned i = 0; i < count; ++i) value = value << 8 | in[at + i];
  return value;
}

inline Bytes operator+(Bytes left, const Bytes& right) {
  left.insert(left.end(), right.begin(), right.end());
  return left;
}

/// `count` bytes from `from` on, or all that follow.
inline Bytes part(const Bytes& bytes, size_t from, size_t count = SIZE_MAX) {
  const auto begin = bytes.begin() + static_cast<ptrdiff_t>(from);
  return {begin, begin + static_cast<ptrdiff_t>(std::min(count, bytes.size() - from))};
}

/// `count` bytes that differ from one another and from zero where that is possible.
inline Bytes pattern(size_t count, unsigned seed = 1) {
  Bytes bytes(count);
  for (size_t i = 0; i < count; ++i) bytes[i] = static_cast<uint8_t>(1 + (i * 7 + seed) % 255);
  return bytes;
}

/// "fd00::1" or "10.0.0.1" (in the first four bytes).
Ipv6Address address(std::string_view text);

struct IpSpec {
  std::string_view source, destination;
  size_t payload = 64;  ///< bytes after the fixed header, a UDP header's four port bytes first
  uint16_t source_port = 1000;
  uint16_t destination_port = 2000;
};

/// Whether the first `length` bits are the prefix's.
bool in_prefix(const Bytes& address, const Ipv6Address& prefix, unsigned length);

/// Exactly one IPv6 or IPv4 packet of the length that its header says.
bool is_ip(const Bytes& packet);

Bytes ipv6(const IpSpec& spec);
Bytes ipv4(const IpSpec& spec);

}  // namespace sky::test
