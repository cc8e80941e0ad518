#include "dataplane/base/huge_pool.h"

#include <gtest/gtest.h>

#include <array>
#include <memory>
#include <set>
#include <vector>

namespace sky {
namespace {

struct alignas(64) Thing : Pooled<Thing> {
  std::array<uint64_t, 160> words{};
};

TEST(HugePool, AlignedApartAndTakenAgain) {
  constexpr size_t kMany = 4'000;  // blocks of all sizes, up to some that are hugepages
  std::vector<std::unique_ptr<Thing>> things;
  std::set<const Thing*> places;
  for (size_t i = 0; i < kMany; ++i) {
    things.push_back(std::make_unique<Thing>());
    things.back()->words.fill(i);
    EXPECT_EQ(0u, reinterpret_cast<uintptr_t>(things.back().get()) % alignof(Thing));
    places.insert(things.back().get());
  }
  EXPECT_EQ(kMany, places.size());
  for (size_t i = 0; i < kMany; ++i) EXPECT_EQ(i, things[i]->words.front() + things[i]->words.back() - i);
  things.clear();
#if !SKY_ADDRESS_SANITIZER
  for (size_t i = 0; i < kMany; ++i) {
    things.push_back(std::make_unique<Thing>());
    EXPECT_TRUE(places.contains(things.back().get()));
    EXPECT_EQ(0u, things.back()->words.back()) << "an object starts as its constructor says";
  }
#endif
}

}  // namespace
}  // namespace sky
