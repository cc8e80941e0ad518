// The destination map by itself: what stands is found whatever was put and deleted before.
#include "dataplane/tables/destinations.h"

#include <gtest/gtest.h>

#include "tests/support/bytes.h"
#include "tests/support/memory_port.h"

namespace sky::test {
namespace {

using dataplane::DestinationKey;
using dataplane::DestinationMap;
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

}  // namespace
}  // namespace sky::test
