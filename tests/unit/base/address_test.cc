#include "dataplane/base/address.h"

#include <gtest/gtest.h>

namespace sky {
namespace {

Prefix prefix(std::string_view text) {
  return parse_prefix(text).value();
}
IpAddress address(std::string_view text) {
  return parse_address(text).value();
}

TEST(Address, ReadsBothFamilies) {
  const IpAddress v4 = address("10.1.0.255");
  EXPECT_EQ(v4.family, Family::ipv4);
  EXPECT_EQ(v4.bytes, (std::array<uint8_t, 16>{10, 1, 0, 255}));
  const IpAddress v6 = address("2001:db8::1");
  EXPECT_EQ(v6.family, Family::ipv6);
  EXPECT_EQ(v6.bytes, (std::array<uint8_t, 16>{0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}));
  EXPECT_EQ(to_string(v4), "10.1.0.255");
  EXPECT_EQ(to_string(v6), "2001:db8::1");
}

TEST(Address, RefusesWhatIsNone) {
  const std::string with_zero("10.1.0.1\0", 9);
  for (const std::string& text : {std::string(), std::string("10.1.0"), std::string("10.1.0.1.2"), std::string("g::"),
                                  std::string("fe80::1%eth0"), std::string(" ::1"), with_zero, std::string(60, ':')}) {
    EXPECT_FALSE(parse_address(text)) << text;
  }
}

TEST(TcpAddress, ReadsAndWrites) {
  for (const char* text : {"[::1]:9477", "[::]:1024", "[2001:db8::a1]:65535", "127.0.0.1:9477", "0.0.0.0:9477"}) {
    EXPECT_EQ(to_string(parse_tcp_address(text).value()), text);
  }
}

TEST(TcpAddress, RefusesWhatIsNone) {
  for (const char* text : {"", ":9477", "::1", "::1:9477", "[::1]", "[::1]:", "[::1]9477", "[127.0.0.1]:9477",
                           "127.0.0.1", "127.0.0.1:1023", "127.0.0.1:65536", "127.0.0.1:-1", "127.0.0.1: 9477",
                           "127.0.0.1:9477 ", "[]:9477", "[:9477", "localhost:9477", "[::1]:09477"}) {
    EXPECT_FALSE(parse_tcp_address(text)) << text;
  }
}

TEST(Prefix, ReadsAndWrites) {
  for (const char* text :
       {"0.0.0.0/0", "10.1.0.0/16", "10.1.2.3/32", "::/0", "2001:db8:a::/48", "8000::/1", "::1/128"}) {
    EXPECT_EQ(to_string(prefix(text)), text);
  }
}

TEST(Prefix, RefusesBitsPastTheLengthAndNamesTheRightOne) {
  const auto refused = parse_prefix("2001:db8:a::1/48");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().message, "2001:db8:a::/48 (no bit set past the prefix length)");
  for (const char* text : {"10.1.0.0", "10.1.0.0/", "10.0.0.0/33", "::/129", "10.0.0.0/-1", "10.0.0.0/8x", "/8",
                           "11.0.0.0/7", "10.0.0.0/256", "::/4294967296"}) {
    EXPECT_FALSE(parse_prefix(text)) << text;
  }
}

TEST(Prefix, Contains) {
  EXPECT_TRUE(contains(prefix("10.0.0.0/8"), address("10.255.0.1")));
  EXPECT_FALSE(contains(prefix("10.0.0.0/8"), address("11.0.0.1")));
  EXPECT_FALSE(contains(prefix("0.0.0.0/0"), address("::1")));
  EXPECT_TRUE(contains(prefix("10.0.0.0/8"), prefix("10.0.0.0/8")));
  EXPECT_TRUE(contains(prefix("10.0.0.0/8"), prefix("10.1.0.0/16")));
  EXPECT_FALSE(contains(prefix("10.1.0.0/16"), prefix("10.0.0.0/8")));
  EXPECT_TRUE(contains(prefix("2001:db8::/33"), address("2001:db8:7fff::")));
  EXPECT_FALSE(contains(prefix("2001:db8::/33"), address("2001:db8:8000::")));
}

TEST(Prefix, NetworkOfClearsEveryBitPastTheLength) {
  const IpAddress ones = address("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
  for (unsigned length = 0; length <= 128; ++length) {
    const Prefix network = network_of(ones, static_cast<uint8_t>(length));
    unsigned set = 0;
    for (const uint8_t byte : network.address) set += static_cast<unsigned>(__builtin_popcount(byte));
    EXPECT_EQ(set, length);
    EXPECT_TRUE(contains(network, ones));
  }
  EXPECT_EQ(to_string(host_prefix(address("10.1.0.1"))), "10.1.0.1/32");
  EXPECT_EQ(to_string(network_of(address("10.1.0.1"), 40)), "10.1.0.1/32");
}

TEST(Mac, ReadsWritesAndRefuses) {
  EXPECT_EQ(to_string(parse_mac("02:00:00:00:aB:01").value()), "02:00:00:00:ab:01");
  for (const char* text : {"", "02:00:00:00:00", "02-00-00-00-00-01", "02:00:00:00:00:0g", "2:00:00:00:00:001",
                           "02:00:00:00:00:01:", "-2:00:00:00:00:01", "01:00:00:00:00:01", "00:00:00:00:00:00"}) {
    EXPECT_FALSE(parse_mac(text)) << text;
  }
}

/// Computed by another implementation (Python's hashlib): blake2b(label + key, digest_size=32)[:15].
TEST(SkywireAddress, IsTheHashOfTheKey) {
  PublicKey key;
  key.fill(0);
  EXPECT_EQ(to_string(IpAddress{skywire_address(key)}), "fc15:3094:8dc9:88c3:c43a:4475:3483:4443");
  key.fill(0xff);
  EXPECT_EQ(to_string(IpAddress{skywire_address(key)}), "fca7:9cbe:c31b:f54a:d151:8971:1dec:1dc0");
}

}  // namespace
}  // namespace sky
