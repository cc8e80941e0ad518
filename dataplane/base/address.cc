#include "dataplane/base/address.h"

#include <arpa/inet.h>
#include <sodium.h>

#include <algorithm>
#include <charconv>
#include <cstring>

namespace sky {
namespace {

constexpr std::string_view kAddressLabel = "skyedge address v1";
constexpr std::string_view kWantedAddress = "an IPv6 or IPv4 address such as 2001:db8::1 or 10.1.0.1";

constexpr uint16_t kLeastPort = 1024;
constexpr std::string_view kWantedTcpAddress =
    "an address and a port from 1024 to 65535 such as [::1]:9477 or 127.0.0.1:9477";

constexpr uint8_t most_bits(Family family) {
  return family == Family::ipv4 ? 32 : 128;
}

}  // namespace

Result<IpAddress> parse_address(std::string_view text) {
  char copy[INET6_ADDRSTRLEN] = {};
  IpAddress address;
  if (text.size() < sizeof copy && text.find('\0') == text.npos) {
    std::ranges::copy(text, copy);
    address.family = text.find(':') == text.npos ? Family::ipv4 : Family::ipv6;
    const int family = address.family == Family::ipv4 ? AF_INET : AF_INET6;
    if (inet_pton(family, copy, address.bytes.data()) == 1) return address;
  }
  return fail("{}", kWantedAddress);
}

Result<Prefix> parse_prefix(std::string_view text) {
  const auto slash = text.find('/');
  const auto address = parse_address(text.substr(0, slash));
  if (slash == text.npos || !address) {
    return fail("a prefix such as 2001:db8:a::/48 or 10.1.0.0/16");
  }
  const auto digits = text.substr(slash + 1);
  const char* end = digits.data() + digits.size();
  uint8_t length = 0;
  const auto [stop, error] = std::from_chars(digits.data(), end, length);
  if (error != std::errc{} || stop != end || length > most_bits(address->family)) {
    return fail("a prefix length from 0 to {}", most_bits(address->family));
  }
  const Prefix prefix = network_of(*address, length);
  if (prefix.address != address->bytes) {
    return fail("{} (no bit set past the prefix length)", to_string(prefix));
  }
  return prefix;
}

Result<MacAddress> parse_mac(std::string_view text) {
  MacAddress mac;
  bool valid = text.size() == 17;
  for (size_t i = 0; valid && i < mac.size(); ++i) {
    const char* digits = text.data() + i * 3;
    valid = std::from_chars(digits, digits + 2, mac[i], 16).ptr == digits + 2 && (i == 5 || digits[2] == ':');
  }
  if (!valid) return fail("a MAC address such as 02:00:00:00:00:01");
  if ((mac[0] & 1) != 0 || mac == MacAddress{}) return fail("a unicast MAC address");
  return mac;
}

Result<TcpAddress> parse_tcp_address(std::string_view text) {
  const auto colon = text.rfind(':');
  std::string_view host = text.substr(0, colon);
  const auto digits = colon == text.npos ? std::string_view() : text.substr(colon + 1);
  const bool brackets = host.size() > 2 && host.front() == '[' && host.back() == ']';
  if (brackets) host = host.substr(1, host.size() - 2);
  const auto address = parse_address(host);
  const char* end = digits.data() + digits.size();
  uint16_t port = 0;
  const auto [stop, error] = std::from_chars(digits.data(), end, port);
  const bool valid = error == std::errc{} && stop == end && port >= kLeastPort && !digits.starts_with('0');
  if (!valid || !address || brackets != (address->family == Family::ipv6)) return fail("{}", kWantedTcpAddress);
  return TcpAddress{*address, port};
}

std::string to_string(const IpAddress& address) {
  char text[INET6_ADDRSTRLEN] = {};
  const int family = address.family == Family::ipv4 ? AF_INET : AF_INET6;
  inet_ntop(family, address.bytes.data(), text, sizeof text);
  return text;
}

std::string to_string(const TcpAddress& endpoint) {
  const bool brackets = endpoint.address.family == Family::ipv6;
  return fmt::format("{}{}{}:{}", brackets ? "[" : "", to_string(endpoint.address), brackets ? "]" : "", endpoint.port);
}

std::string to_string(const Prefix& prefix) {
  return fmt::format("{}/{}", to_string(IpAddress{prefix.address, prefix.family}), prefix.length);
}

std::string to_string(const MacAddress& mac) {
  return fmt::format("{:02x}:{:02x}:{:02x}:{:02x}:{:02x}:{:02x}", mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
}

Prefix network_of(const IpAddress& address, uint8_t length) {
  Prefix prefix{address.bytes, std::min(length, most_bits(address.family)), address.family};
  for (unsigned i = 0; i < prefix.address.size(); ++i) {
    const unsigned kept = prefix.length > i * 8 ? std::min(prefix.length - i * 8, 8u) : 0;
    prefix.address[i] &= static_cast<uint8_t>(0xff00u >> kept);
  }
  return prefix;
}

Prefix host_prefix(const IpAddress& address) {
  return {address.bytes, most_bits(address.family), address.family};
}

bool contains(const Prefix& outer, const IpAddress& address) {
  return network_of(address, outer.length) == outer;
}

bool contains(const Prefix& outer, const Prefix& inner) {
  return outer.length <= inner.length && contains(outer, IpAddress{inner.address, inner.family});
}

Ipv6Address skywire_address(const PublicKey& key) {
  std::array<uint8_t, 32> hash;
  crypto_generichash_state state;
  crypto_generichash_init(&state, nullptr, 0, hash.size());
  crypto_generichash_update(&state, reinterpret_cast<const uint8_t*>(kAddressLabel.data()), kAddressLabel.size());
  crypto_generichash_update(&state, key.data(), key.size());
  crypto_generichash_final(&state, hash.data(), hash.size());
  Ipv6Address address;
  address[0] = 0xfc;
  std::copy_n(hash.begin(), 15, address.begin() + 1);
  return address;
}

}  // namespace sky
