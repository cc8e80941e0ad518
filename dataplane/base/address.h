// IP addresses, prefixes, MAC addresses and Skywire addresses as plain values, with their text
// forms. An IPv4 address stands in the first 4 bytes of its array and the rest is zero; bytes are
// in wire order. Cold path: every function may allocate. Source: RFC 4291, RFC 4632;
// docs/protocol.md for Skywire addresses.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "dataplane/base/ids.h"
#include "dataplane/base/result.h"

namespace sky {

struct IpAddress {
  std::array<uint8_t, 16> bytes{};
  Family family = Family::ipv6;
  auto operator<=>(const IpAddress&) const = default;
};

/// All bits of `address` past `length` are zero; `length` is at most 32 for IPv4 and 128 for IPv6.
struct Prefix {
  std::array<uint8_t, 16> address{};
  uint8_t length = 0;
  Family family = Family::ipv6;
  auto operator<=>(const Prefix&) const = default;
};

/// What a server of TCP listens at.
struct TcpAddress {
  IpAddress address;
  uint16_t port = 0;
  auto operator<=>(const TcpAddress&) const = default;
};

/// The parsers fail with what they wanted; found text is the caller's to quote.
Result<IpAddress> parse_address(std::string_view text);
Result<Prefix> parse_prefix(std::string_view text);
Result<MacAddress> parse_mac(std::string_view text);
/// `[::1]:9477` or `127.0.0.1:9477`; ports from 1024, as those below are not open to a process without capabilities.
Result<TcpAddress> parse_tcp_address(std::string_view text);

std::string to_string(const IpAddress& address);
std::string to_string(const TcpAddress& endpoint);
std::string to_string(const Prefix& prefix);
std::string to_string(const MacAddress& mac);

/// The prefix that holds this address alone (/32 or /128).
Prefix host_prefix(const IpAddress& address);
/// The prefix of this length around an address; longer than the address is the address itself.
Prefix network_of(const IpAddress& address, uint8_t length);
bool contains(const Prefix& outer, const IpAddress& address);
bool contains(const Prefix& outer, const Prefix& inner);

/// The Skywire address of a node: 0xfc and the first 15 bytes of BLAKE2b-256("skyedge address v1" |
/// key).
Ipv6Address skywire_address(const PublicKey& key);

}  // namespace sky
