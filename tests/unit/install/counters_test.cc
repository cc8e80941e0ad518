#include "controlplane/install/counters.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "tests/support/fake_dataplane.h"

namespace sky::controlplane {
namespace {

/// A page of two workers, one port, two links and one group.
class CountersTest : public testing::Test {
 protected:
  CountersTest() {
    StatsHeader& header = *static_cast<StatsHeader*>(page.data());
    header.magic = kStatsMagic;
    header.abi_version = kAbiVersion;
    header.counters = kCounters;
    header.drop_reasons = kDropReasons;
    header.stages = kStages;
    header.workers = 2;
    header.ports = 1;
    header.links = 2;
    header.groups = 1;
  }

  StatsHeader& header() { return *static_cast<StatsHeader*>(page.data()); }
  WorkerStats& worker(size_t index) {
    return reinterpret_cast<WorkerStats*>(static_cast<char*>(page.data()) + layout.workers)[index];
  }

  StatsLayout layout = StatsLayout::of(2, 1, 2, 1);
  Descriptor fd = test::make_memfd(layout.bytes);
  Mapping page{fd.get(), layout.bytes, PROT_READ | PROT_WRITE};
};

TEST_F(CountersTest, SumsOverWorkers) {
  const auto counters = Counters::view(page);
  ASSERT_TRUE(counters) << counters.error().message;
  EXPECT_EQ(counters->workers().size(), 2u);
  EXPECT_EQ(counters->members().size(), kMaxMembers);
  worker(0).counters[std::to_underlying(Counter::received)].set(5);
  worker(1).counters[std::to_underlying(Counter::received)].set(7);
  worker(1).drops[std::to_underlying(Drop::bad_tag)].set(2);
  worker(0).counters[std::to_underlying(Counter::transmitted)].set(9);
  worker(0).counters[std::to_underlying(Counter::loops)].set(1000);  // no packet
  EXPECT_EQ(counters->sum(Counter::received), 12u);
  EXPECT_EQ(counters->sum(Drop::bad_tag), 2u);
  EXPECT_EQ(accounting(*counters).in, 12u);
  EXPECT_EQ(accounting(*counters).out, 11u);
}

TEST_F(CountersTest, EveryTermOfTheEquationCountsOnItsSide) {
  const auto counters = Counters::view(page);
  ASSERT_TRUE(counters);
  for (size_t i = 0; i < kCounters; ++i) {
    const std::string_view name = kCounterNames[i];
    const bool in = name == "received" || name.starts_with("injected_") || name == "copied" || name == "taken_over";
    const bool no_packet = name == "loops" || name == "sleeps" || name == "copy_alone" || name == "copy_over_rate";
    worker(0).counters[i].set(1);
    EXPECT_EQ(accounting(*counters).in, in ? 1u : 0u) << name;
    EXPECT_EQ(accounting(*counters).out, in || no_packet ? 0u : 1u) << name;
    worker(0).counters[i].set(0);
  }
  for (size_t i = 0; i < kDropReasons; ++i) worker(1).drops[i].set(1);
  EXPECT_EQ(accounting(*counters).out, kDropReasons);
}

TEST_F(CountersTest, WhatDoesNotFitIsRefused) {
  const auto refused = [&](auto& word, auto value) {
    const auto before = word;
    word = value;
    const bool is_refused = !Counters::view(page);
    word = before;
    return is_refused;
  };
  EXPECT_FALSE(refused(header().workers, 1u));
  EXPECT_TRUE(refused(header().workers, 3u));
  EXPECT_TRUE(refused(header().workers, ~0u));
  EXPECT_TRUE(refused(header().ports, ~0u));
  EXPECT_TRUE(refused(header().links, ~0u));
  EXPECT_TRUE(refused(header().groups, ~0u));
  EXPECT_TRUE(refused(header().magic, 0u));
  EXPECT_TRUE(refused(header().abi_version, kAbiVersion + 1));
  EXPECT_TRUE(refused(header().counters, kCounters + 1));
  EXPECT_TRUE(refused(header().drop_reasons, kDropReasons - 1));
  EXPECT_TRUE(refused(header().stages, 0u)) << "of a dataplane that times none";
  EXPECT_FALSE(Counters::view(Mapping(fd.get(), 64, PROT_READ)));
}

TEST_F(CountersTest, ALaterLieMovesNoArray) {
  const auto counters = Counters::view(page);
  ASSERT_TRUE(counters);
  header().workers = 1'000'000;
  EXPECT_EQ(counters->workers().size(), 2u);
  EXPECT_EQ(counters->sum(Counter::received), 0u);
}

}  // namespace
}  // namespace sky::controlplane
