// The destination map by itself: what stands is found whatever was put and deleted before.
#include "dataplane/tables/destinations.h"

#include <gtest/gtest.h>

#include <map>
#include <random>

#include "dataplane/batch.h"
#include "tests/support/bytes.h"
#include "tests/support/memory_port.h"

namespace sky::test {
namespace {

using dataplane::DestinationKey;
using dataplane::DestinationMap;
using dataplane::kBurst;
using dataplane::kNoGroup;

constexpr GroupIndex kStands{7}, kComes{8};

class Destinations : public testing::Test {
 protected:
  void SetUp() override {
    start_eal_once();
    auto made = DestinationMap::create("destinations-test", {.prefixes = 1024, .groups = 16});
    ASSERT_TRUE(made) << made.error().message;
    map = std::move(*made);
  }

  static DestinationKey host(std::string_view text) { return {Family::ipv6, 128, address(text)}; }
  bool change(const DestinationKey& key, GroupIndex group) {
    if (!map->stage({.key = key, .group = group, .cookie = 0})) {
      map->unstage();
      return false;
    }
    map->publish([] {});
    return true;
  }
  GroupIndex find(std::string_view text) {
    uint8_t addresses[1][16];
    const Ipv6Address wanted = address(text);
    std::ranges::copy(wanted, addresses[0]);
    GroupIndex group{};
    map->find6(addresses, &group, 1);
    return group;
  }

  std::unique_ptr<DestinationMap> map;
};

TEST_F(Destinations, PrefixesComeAndGoAsOftenAsTheyLike) {
  ASSERT_TRUE(change(host("fc00::1"), kStands));
  ASSERT_TRUE(change({Family::ipv6, 32, address("fd00:1::")}, kStands));
  for (int round = 0; round < 3'000; ++round) {
    ASSERT_TRUE(change(host("fd00:1::5"), kComes)) << "round " << round;
    ASSERT_EQ(kComes, find("fd00:1::5"));
    ASSERT_EQ(kStands, find("fc00::1")) << "round " << round;
    ASSERT_EQ(kStands, find("fd00:1::6")) << "round " << round;
    ASSERT_TRUE(change(host("fd00:1::5"), kNoGroup));
    ASSERT_EQ(kStands, find("fd00:1::5")) << "round " << round;
    ASSERT_EQ(kNoGroup, find("fc00::2"));
  }
  EXPECT_EQ(2u, map->count());
}

TEST_F(Destinations, WhatDoesNotFitLeavesTheRestAlone) {
  ASSERT_TRUE(change(host("fc00::1"), kStands));
  int fitted = 0;
  DestinationKey key = host("fd00::");
  for (bool fits = true; fits && fitted < 1'000; fitted += fits) {
    key.prefix[3] = static_cast<uint8_t>(fitted);
    key.prefix[4] = static_cast<uint8_t>(fitted >> 8);
    fits = change(key, kComes);
  }
  ASSERT_LT(fitted, 1'000) << "hosts far from each other take thirteen tables each";
  EXPECT_FALSE(change(key, kComes)) << "and it does not fit the next time either";
  EXPECT_EQ(kStands, find("fc00::1"));
  EXPECT_EQ(kComes, find("fd00::"));
  EXPECT_EQ(1u + static_cast<unsigned>(fitted), map->count());
}

/// The library looks up 16 or 32 at once where the CPU can, and the rest one by one.
TEST_F(Destinations, BurstsOfAnyLengthFindTheLongestPrefix) {
  std::mt19937 random(1);
  const auto draw = [&random](Family family) {  // close together, so that prefixes lie in each other
    Ipv6Address drawn{};
    drawn[0] = 0xfd;
    for (size_t i = 1; i < (family == Family::ipv4 ? 4 : 6); ++i) drawn[i] = static_cast<uint8_t>(random() % 4);
    return drawn;
  };
  std::map<DestinationKey, GroupIndex> stands;
  for (uint32_t i = 0; i < 400; ++i) {
    const Family family = i % 2 == 0 ? Family::ipv4 : Family::ipv6;
    DestinationKey key{family, static_cast<uint8_t>(8 + random() % (family == Family::ipv4 ? 25 : 41)), draw(family)};
    for (unsigned bit = key.length; bit < 128; ++bit)
      key.prefix[bit / 8] = static_cast<uint8_t>(key.prefix[bit / 8] & ~(0x80 >> bit % 8));
    const GroupIndex group{i % 16};
    ASSERT_TRUE(change(key, group));
    stands[key] = group;
  }
  const auto longest = [&stands](Family family, const Ipv6Address& address) {
    const std::pair<const DestinationKey, GroupIndex>* best = nullptr;
    for (const auto& each : stands) {
      const DestinationKey& key = each.first;
      if (key.family == family && (best == nullptr || key.length > best->first.length) &&
          in_prefix({address.begin(), address.end()}, key.prefix, key.length))
        best = &each;
    }
    return best == nullptr ? kNoGroup : best->second;
  };
  for (unsigned n = 1; n <= kBurst; ++n) {
    uint8_t six[kBurst][16];
    std::array<uint32_t, kBurst> four;
    std::array<GroupIndex, kBurst> wanted4, wanted6, found;
    for (unsigned i = 0; i < n; ++i) {
      const Ipv6Address address6 = draw(Family::ipv6), address4 = draw(Family::ipv4);
      std::ranges::copy(address6, six[i]);
      Be32 word;
      std::memcpy(&word, address4.data(), sizeof(word));
      four[i] = word.get();
      wanted6[i] = longest(Family::ipv6, address6);
      wanted4[i] = longest(Family::ipv4, address4);
    }
    map->find6(six, found.data(), n);
    EXPECT_TRUE(std::equal(found.begin(), found.begin() + n, wanted6.begin())) << n << " of IPv6";
    map->find4(four.data(), found.data(), n);
    EXPECT_TRUE(std::equal(found.begin(), found.begin() + n, wanted4.begin())) << n << " of IPv4";
  }
}

}  // namespace
}  // namespace sky::test
