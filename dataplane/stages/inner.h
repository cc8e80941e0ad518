// What is read of an inner IPv6 or IPv4 packet (RFC 8200, RFC 791): no more than its fixed header and the ports.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <span>

#include "dataplane/base/endian.h"
#include "dataplane/base/ids.h"
#include "dataplane/batch.h"
#include "dataplane/protocol/install.h"
#include "dataplane/tables/destinations.h"

namespace sky::dataplane {

struct InnerPacket {
  Family family;
  const uint8_t* source;       ///< 16 or 4 bytes
  const uint8_t* destination;  ///< the same

  uint32_t source4() const { return read4(source); }
  uint32_t destination4() const { return read4(destination); }

 private:
  static uint32_t read4(const uint8_t* at) {
    Be32 value;
    std::memcpy(&value, at, sizeof(value));
    return value.get();
  }
};

/// False unless the bytes are exactly one IP packet of the length that its header says.
inline bool parse_inner(std::span<const uint8_t> bytes, InnerPacket& out) noexcept {
  if (bytes.empty()) return false;
  Be16 length;
  switch (bytes[0] >> 4) {
    case 6:
      if (bytes.size() < 40) return false;
      std::memcpy(&length, &bytes[4], sizeof(length));
      if (bytes.size() != 40u + length.get()) return false;
      out = {Family::ipv6, &bytes[8], &bytes[24]};
      return true;
    case 4: {
      const size_t header = (bytes[0] & 0x0fu) * 4;
      if (bytes.size() < 20 || header < 20) return false;
      std::memcpy(&length, &bytes[2], sizeof(length));
      if (bytes.size() != length.get() || length.get() < header) return false;
      out = {Family::ipv4, &bytes[12], &bytes[16]};
      return true;
    }
    default:
      return false;
  }
}

/// The bits of a whole IP packet's header.
inline Ecn inner_ecn(const uint8_t* packet, Family family) noexcept {
  return static_cast<Ecn>(family == Family::ipv6 ? packet[1] >> 4 & 3 : packet[1] & 3);
}
/// What the frame that brought it says of congestion becomes the packet's (RFC 6040); false where it must be dropped
/// instead, since its sender would not know.
bool take_ecn(Ecn outer, uint8_t* packet, Family family) noexcept;

/// Addresses of a burst, by family, looked up together; one that comes again at once, as a flow's do and as what
/// arrives for the same host does, once.
class AddressBurst {
 public:
  /// `at` (below kBurst) is where find() writes the answer.
  void add(unsigned at, const InnerPacket& inner, bool source) noexcept;
  void find(const DestinationMap& map, std::array<GroupIndex, kBurst>& out) noexcept;

 private:
  alignas(16) uint8_t six_[kBurst][16];
  std::array<uint32_t, kBurst> four_;
  struct Asked {
    uint8_t at, found;  ///< of both families: IPv4's from kBurst on
  };
  std::array<Asked, kBurst> asked_;
  unsigned n6_ = 0, n4_ = 0, count_ = 0;
};

/// Secret and random, all bits of it.
using FlowKey = std::array<uint64_t, 11>;
FlowKey random_flow_key();
/// A hash of addresses, protocol and, where they stand at once behind the header, ports: one flow, one value. Who does
/// not know the key finds no two flows of a family that are likelier to share 32 bits, or some of them, than by chance:
/// MULTILINEAR of Lemire and Kaser, "Strongly universal string hashing is fast" (2014).
uint32_t flow_hash(std::span<const uint8_t> packet, const InnerPacket& inner, const FlowKey& key) noexcept;

}  // namespace sky::dataplane
