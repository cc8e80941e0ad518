#include "controlplane/traffic_watch.h"

#include <gtest/gtest.h>

#include "dataplane/base/units.h"
#include "tests/support/fake_dataplane.h"

namespace sky::controlplane {
namespace {

class TrafficWatchTest : public testing::Test {
 protected:
  TrafficWatchTest() {
    StatsHeader& header = *static_cast<StatsHeader*>(page.data());
    header.magic = kStatsMagic;
    header.abi_version = kAbiVersion;
    header.counters = kCounters;
    header.drop_reasons = kDropReasons;
    header.stages = kStages;
    header.groups = 2;
    header.boot_id = 1;
    header.workers = 1;
  }

  void carry(size_t member, uint64_t packets) {
    auto* members = reinterpret_cast<MemberStats*>(static_cast<char*>(page.data()) + layout.members);
    members[member].packets.add(packets);
  }

  StatsLayout layout = StatsLayout::of(1, 0, 0, 2);
  Descriptor fd = test::make_memfd(layout.bytes);
  Mapping page{fd.get(), layout.bytes, PROT_READ | PROT_WRITE};
  TrafficWatch watch;
};

TEST_F(TrafficWatchTest, SeesWhatMovedSinceTheLastLook) {
  const Counters counters = *Counters::view(page);
  carry(3, 100);
  EXPECT_TRUE(watch.look(counters).empty());  // how it stood at attachment
  EXPECT_TRUE(watch.look(counters).empty());
  carry(kMaxMembers + 2, 1);
  const auto seen = watch.look(counters);
  ASSERT_EQ(seen.size(), 1u);
  EXPECT_EQ(seen[0].group, GroupIndex{1});
  EXPECT_EQ(seen[0].slot, 2);
  EXPECT_TRUE(watch.look(counters).empty());
}

TEST_F(TrafficWatchTest, AnotherDataplaneStartsAnew) {
  const Counters counters = *Counters::view(page);
  watch.look(counters);
  carry(0, 5);
  static_cast<StatsHeader*>(page.data())->boot_id = 2;
  EXPECT_TRUE(watch.look(counters).empty());
  carry(0, 1);
  EXPECT_EQ(watch.look(counters).size(), 1u);
}

TEST(TrafficWatch, LooksTenTimesInAnIdleTime) {
  EXPECT_EQ(TrafficWatch::period_ns(20 * kSecondNs), 2 * kSecondNs);
  EXPECT_EQ(TrafficWatch::period_ns(600 * kSecondNs), 10 * kSecondNs);
  EXPECT_EQ(TrafficWatch::period_ns(0), 100 * kMillisecondNs);
}

}  // namespace
}  // namespace sky::controlplane
