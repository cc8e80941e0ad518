#include "tests/support/bytes.h"

#include <arpa/inet.h>

#include <stdexcept>
#include <string>

namespace sky::test {

namespace {

constexpr uint8_t kUdp = 17;

Bytes udp(const IpSpec& spec) {
  Bytes bytes;
  put(bytes, spec.source_port, 2);
  put(bytes, spec.destination_port, 2);
  bytes = bytes + pattern(spec.payload);
  bytes.resize(spec.payload);
  return bytes;
}

}  // namespace

Ipv6Address address(std::string_view text) {
  Ipv6Address out{};
  const int family = text.find(':') == std::string_view::npos ? AF_INET : AF_INET6;
  if (inet_pton(family, std::string(text).c_str(), out.data()) != 1) throw std::invalid_argument(std::string(text));
  return out;
}

bool in_prefix(const Bytes& address, const Ipv6Address& prefix, unsigned length) {
  for (unsigned bit = 0; bit < length; ++bit) {
    if (((prefix[bit / 8] ^ address[bit / 8]) >> (7 - bit % 8) & 1) != 0) return false;
  }
  return true;
}

bool is_ip(const Bytes& packet) {
  if (packet.empty()) return false;
  if (packet[0] >> 4 == 6) return packet.size() >= 40 && packet.size() == 40 + get(packet, 4, 2);
  const size_t header = (packet[0] & 15u) * 4;
  return packet[0] >> 4 == 4 && packet.size() >= std::max<size_t>(header, 20) && header >= 20 &&
         packet.size() == get(packet, 2, 2);
}

Bytes ipv6(const IpSpec& spec) {
  Bytes bytes;
  put(bytes, 0x60000000, 4);
  put(bytes, spec.payload, 2);
  put(bytes, kUdp << 8 | 64, 2);
  for (const std::string_view text : {spec.source, spec.destination}) {
    const Ipv6Address value = address(text);
    bytes.insert(bytes.end(), value.begin(), value.end());
  }
  return bytes + udp(spec);
}

Bytes ipv4(const IpSpec& spec) {
  Bytes bytes;
  put(bytes, 0x4500, 2);
  put(bytes, 20 + spec.payload, 2);
  put(bytes, 0, 4);
  put(bytes, 64 << 24 | kUdp << 16, 4);
  for (const std::string_view text : {spec.source, spec.destination}) {
    const Ipv6Address value = address(text);
    bytes.insert(bytes.end(), value.begin(), value.begin() + 4);
  }
  return bytes + udp(spec);
}

}  // namespace sky::test
