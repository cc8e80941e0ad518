#include "controlplane/install/route_ids.h"

#include <gtest/gtest.h>

#include <set>

namespace sky::controlplane {
namespace {

constexpr uint32_t kCapacity = 64;
uint32_t index_of(RouteId id) {
  return to_underlying(id) % kCapacity;
}

TEST(RouteIds, EveryIndexOnceAndNeverZero) {
  SeededRandom random(1);
  RouteIds routes(kCapacity, random);
  std::set<uint32_t> indices;
  for (uint32_t i = 0; i < kCapacity; ++i) {
    const auto id = routes.allocate(0);
    ASSERT_TRUE(id);
    EXPECT_NE(*id, kControlRoute);
    EXPECT_TRUE(indices.insert(index_of(*id)).second);
  }
  EXPECT_FALSE(routes.allocate(0));
  EXPECT_EQ(routes.used(), kCapacity);
}

TEST(RouteIds, AnIndexRestsBeforeItComesBackUnderAnotherName) {
  SeededRandom random(2);
  RouteIds routes(kCapacity, random);
  std::vector<RouteId> ids;
  while (const auto id = routes.allocate(0)) ids.push_back(*id);
  routes.release(ids[5], 100);
  EXPECT_FALSE(routes.allocate(100 + kRouteRest_ns - 1));
  const auto again = routes.allocate(100 + kRouteRest_ns);
  ASSERT_TRUE(again);
  EXPECT_EQ(index_of(*again), index_of(ids[5]));
  EXPECT_NE(*again, ids[5]);
}

TEST(RouteIds, ReleasingTwiceOrAStrangerDoesNothing) {
  SeededRandom random(3);
  RouteIds routes(kCapacity, random);
  const RouteId id = routes.allocate(0).value();
  routes.release(id, 0);
  routes.release(id, kRouteRest_ns / 2);
  routes.release(RouteId{to_underlying(id) + kCapacity}, 0);
  routes.release(kControlRoute, 0);
  EXPECT_EQ(routes.used(), 1u);
  for (uint32_t i = 0; i < kCapacity; ++i) EXPECT_TRUE(routes.allocate(kRouteRest_ns));
  EXPECT_FALSE(routes.allocate(10 * kRouteRest_ns)) << "the second release freed another's index";
}

TEST(RouteIds, AdoptedOnesAreTaken) {
  SeededRandom random(4);
  RouteIds routes(kCapacity, random);
  EXPECT_TRUE(routes.adopt(RouteId{0x1000 + 7}));
  EXPECT_FALSE(routes.adopt(RouteId{0x2000 + 7}));
  EXPECT_FALSE(routes.adopt(kControlRoute));
  for (uint32_t i = 1; i < kCapacity; ++i) EXPECT_NE(index_of(routes.allocate(0).value()), 7u);
  EXPECT_FALSE(routes.allocate(0));
  routes.release(RouteId{0x1000 + 7}, 0);
  EXPECT_TRUE(routes.allocate(kRouteRest_ns));
}

TEST(RouteIds, HighBitsAreRandom) {
  SeededRandom random(5);
  RouteIds routes(1 << 10, random);
  std::set<uint32_t> high;
  for (int i = 0; i < 500; ++i) high.insert(to_underlying(routes.allocate(0).value()) >> 10);
  EXPECT_GT(high.size(), 490u);
}

/// Of a large table, as few pages as what is in use needs.
TEST(RouteIds, IndicesStandCloseTogether) {
  SeededRandom random(6);
  constexpr uint32_t kLarge = 1 << 20;
  RouteIds routes(kLarge, random);
  std::set<uint32_t> indices;
  for (uint32_t used = 0; used < 100'000; ++used) {
    const uint32_t index = to_underlying(routes.allocate(0).value()) % kLarge;
    EXPECT_LT(index, std::max(kLeastDrawnFrom, 4 * (used + 1)));
    EXPECT_TRUE(indices.insert(index).second);
  }
  EXPECT_NE(*indices.rbegin(), indices.size() - 1) << "drawn, not counted";
}

TEST(RouteIds, AFullBeginningOfTheTableIsNoEnd) {
  SeededRandom random(7);
  RouteIds routes(1 << 20, random);
  for (uint32_t index = 0; index < 2 * kLeastDrawnFrom; ++index) EXPECT_TRUE(routes.adopt(RouteId{1 << 20 | index}));
  for (uint32_t i = 0; i < kLeastDrawnFrom; ++i) EXPECT_TRUE(routes.allocate(0));
}

}  // namespace
}  // namespace sky::controlplane
