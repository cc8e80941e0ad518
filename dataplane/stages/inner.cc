#include "dataplane/stages/inner.h"

#include <sodium.h>

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
  unsigned found;
  if (inner.family == Family::ipv6) {
    const uint8_t* six = source ? inner.source : inner.destination;
    if (n6_ == 0 || std::memcmp(six_[n6_ - 1], six, sizeof(*six_)) != 0) std::memcpy(six_[n6_++], six, sizeof(*six_));
    found = n6_ - 1;
  } else {
    const uint32_t four = source ? inner.source4() : inner.destination4();
    if (n4_ == 0 || four_[n4_ - 1] != four) four_[n4_++] = four;
    found = kBurst + n4_ - 1;
  }
  asked_[count_++] = {static_cast<uint8_t>(at), static_cast<uint8_t>(found)};
}

void AddressBurst::find(const DestinationMap& map, std::array<GroupIndex, kBurst>& out) noexcept {
  std::array<GroupIndex, 2 * kBurst> found;
  map.find6(six_, found.data(), n6_);
  map.find4(four_.data(), found.data() + kBurst, n4_);
  for (unsigned i = 0; i < count_; ++i) out[asked_[i].at] = found[asked_[i].found];
}

FlowKey random_flow_key() {
  FlowKey key;
  randombytes_buf(key.data(), sizeof(key));
  return key;
}

namespace {

/// Of both addresses, as many words as they are, protocol and ports.
template <size_t Addresses>
uint32_t hash_words(const uint8_t* addresses, uint32_t protocol, uint32_t ports, const FlowKey& key) noexcept {
  static_assert(3 + Addresses <= std::tuple_size_v<FlowKey>);
  uint64_t sum = key[0] + key[1] * protocol + key[2] * ports;
  for (size_t i = 0; i < Addresses; ++i) {
    uint32_t word;
    std::memcpy(&word, addresses + i * sizeof(word), sizeof(word));
    sum += key[3 + i] * word;
  }
  return static_cast<uint32_t>(sum >> 32);
}

}  // namespace

uint32_t flow_hash(std::span<const uint8_t> packet, const InnerPacket& inner, const FlowKey& key) noexcept {
  constexpr uint8_t kTcp = 6;
  constexpr uint8_t kUdp = 17;
  const bool six = inner.family == Family::ipv6;
  const size_t header = six ? 40 : (packet[0] & 0x0fu) * 4;
  const uint8_t protocol = packet[six ? 6 : 9];
  const bool fragment = !six && ((packet[6] & 0x3f) != 0 || packet[7] != 0);
  uint32_t ports = 0;
  if ((protocol == kTcp || protocol == kUdp) && !fragment && packet.size() >= header + sizeof(ports))
    std::memcpy(&ports, &packet[header], sizeof(ports));
  return six ? hash_words<8>(inner.source, protocol, ports, key) : hash_words<2>(inner.source, protocol, ports, key);
}

}  // namespace sky::dataplane
