#include "dataplane/stages/handshake_rations.h"

#include <rte_jhash.h>

#include <algorithm>
#include <array>
#include <cstring>

namespace sky::dataplane {

namespace {

constexpr uint64_t kCalledNs = 120'000'000'000;  // a node calls a neighbour every 30 s at least

// Handshake messages by their first byte and length (docs/protocol.md, "Handshake messages").
constexpr uint8_t kInitiation = 1, kResponse = 2, kCookie = 3;
constexpr size_t kInitiationBytes = 168, kResponseBytes = 124, kCookieBytes = 68, kMac2Bytes = 16;

bool is_initiation(std::span<const uint8_t> message) noexcept {
  return message.size() == kInitiationBytes && message[0] == kInitiation;
}

bool is_returned(std::span<const uint8_t> message) noexcept {
  if (is_initiation(message)) return std::ranges::any_of(message.last(kMac2Bytes), [](uint8_t byte) { return byte; });
  return (message.size() == kResponseBytes && message[0] == kResponse) ||
         (message.size() == kCookieBytes && message[0] == kCookie);
}

}  // namespace

HandshakeRations::HandshakeRations(size_t ports, uint32_t seed)
    : seed_(seed),
      called_(kSources),
      first_(kSources, Ration(kOfSource)),
      returned_(kSources, Ration(kOfSource)),
      ports_(ports) {}

size_t HandshakeRations::place_of(PortIndex port, const MacAddress& address) const noexcept {
  static_assert((kSources & (kSources - 1)) == 0);
  std::array<uint32_t, 2> words{};  // copied: an address lies at any alignment
  std::memcpy(words.data(), address.data(), address.size());
  return rte_jhash_32b(words.data(), words.size(), seed_ + to_underlying(port)) & (kSources - 1);
}

void HandshakeRations::sent(PortIndex port, const MacAddress& to, std::span<const uint8_t> message,
                            uint64_t now_ns) noexcept {
  const bool group = (to[0] & 1) != 0;
  if (group || !is_initiation(message)) return;
  Called& called = called_[place_of(port, to)];
  if (called.address != to || called.port != port) called = {.port = port, .address = to};
  called.until_ns = now_ns + kCalledNs;
}

bool HandshakeRations::take(PortIndex port, const MacAddress& from, std::span<const uint8_t> message,
                            uint64_t now_ns) noexcept {
  const size_t place = place_of(port, from);
  Called& called = called_[place];
  if (called.address == from && called.port == port && now_ns < called.until_ns) return called.ration.take(now_ns);
  Port& rations = ports_[to_underlying(port)];
  if (is_returned(message)) return returned_[place].take(now_ns) && rations.returned.take(now_ns);
  return first_[place].take(now_ns) && rations.first.take(now_ns);
}

}  // namespace sky::dataplane
