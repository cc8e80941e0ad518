// What the naive router knows of ECN: RFC 3168's two bits, RFC 6040's egress, RFC 1624's checksum.
#pragma once

#include "tests/support/bytes.h"

namespace sky::test {

inline unsigned ecn_bits(const Bytes& packet) {
  return packet[0] >> 4 == 6 ? packet[1] >> 4 & 3 : packet[1] & 3;
}

/// False for a packet whose sender would not understand.
inline bool mark_congestion(Bytes& packet) {
  if (ecn_bits(packet) == 0) return false;
  if (packet[0] >> 4 == 6) {
    packet[1] |= 0x30;
    return true;
  }
  const auto inverse = [](uint64_t word) { return word ^ 0xffff; };
  const uint64_t before = get(packet, 0, 2);
  packet[1] |= 3;
  uint64_t sum = inverse(get(packet, 10, 2)) + inverse(before) + get(packet, 0, 2);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  packet[10] = static_cast<uint8_t>(inverse(sum) >> 8);
  packet[11] = static_cast<uint8_t>(inverse(sum));
  return true;
}

}  // namespace sky::test
