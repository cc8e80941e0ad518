#include "dataplane/stages/inner.h"

#include <rte_jhash.h>

namespace sky::dataplane {

bool take_ecn(Ecn outer, uint8_t* packet, Family family) noexcept {
  const Ecn inner = inner_ecn(packet, family);
  if (outer != Ecn::congestion || inner == Ecn::congestion) return true;
  if (inner == Ecn::not_capable) return false;
  if (family == Family::ipv6) {
    packet[1] |= 0x30;
    return true;
  }
  const auto grown = static_cast<uint32_t>(3 - static_cast<uint8_t>(inner));
  packet[1] |= 3;
  Be16 checksum;  // of words in ones' complement: RFC 1624, equation 3
  std::memcpy(&checksum, packet + 10, sizeof(checksum));
  const uint32_t sum = uint32_t{static_cast<uint16_t>(~checksum.get())} + grown;
  checksum = Be16(static_cast<uint16_t>(~((sum & 0xffff) + (sum >> 16))));
  std::memcpy(packet + 10, &checksum, sizeof(checksum));
  return true;
}

void AddressBurst::add(unsigned at, const InnerPacket& inner, bool source) noexcept {
  if (inner.family == Family::ipv6) {
    std::memcpy(six_[n6_], source ? inner.source : inner.destination, 16);
    at6_[n6_++] = static_cast<uint8_t>(at);
  } else {
    four_[n4_] = source ? inner.source4() : inner.destination4();
    at4_[n4_++] = static_cast<uint8_t>(at);
  }
}

void AddressBurst::find(const DestinationMap& map, std::array<GroupIndex, kBurst>& out) noexcept {
  std::array<GroupIndex, kBurst> found;
  map.find6(six_, found.data(), n6_);
  for (unsigned i = 0; i < n6_; ++i) out[at6_[i]] = found[i];
  map.find4(four_.data(), found.data(), n4_);
  for (unsigned i = 0; i < n4_; ++i) out[at4_[i]] = found[i];
}

uint32_t flow_hash(std::span<const uint8_t> packet, const InnerPacket& inner, uint32_t seed) noexcept {
  constexpr uint8_t kTcp = 6;
  constexpr uint8_t kUdp = 17;
  const bool six = inner.family == Family::ipv6;
  const size_t header = six ? 40 : (packet[0] & 0x0fu) * 4;
  const uint8_t protocol = packet[six ? 6 : 9];
  const bool fragment = !six && ((packet[6] & 0x3f) != 0 || packet[7] != 0);
  const size_t addresses = six ? 8 : 2;
  std::array<uint32_t, 10> words;  // addresses, protocol, ports: copied, since an IP packet lies at any alignment
  std::memcpy(words.data(), inner.source, addresses * sizeof(uint32_t));
  words[addresses] = protocol;
  words[addresses + 1] = 0;
  if ((protocol == kTcp || protocol == kUdp) && !fragment && packet.size() >= header + 4)
    std::memcpy(&words[addresses + 1], &packet[header], sizeof(uint32_t));
  return rte_jhash_32b(words.data(), static_cast<uint32_t>(addresses + 2), seed);
}

}  // namespace sky::dataplane
