// What a configuration asks of memory: it grows with what is configured, and too much is refused with a way out.
#include "dataplane/memory.h"

#include <gtest/gtest.h>

#include "dataplane/tables/sessions.h"

namespace sky::dataplane {
namespace {

RouterConfig config_with(unsigned ports) {
  RouterConfig config;
  for (unsigned i = 0; i < ports; ++i) config.ports.emplace_back().name = "p" + std::to_string(i);
  return config;
}

TEST(Memory, EveryPortsFramesMayLieInAllTransmitRings) {
  const uint64_t one = memory_need(config_with(1)).eal_bytes();
  const uint64_t two = memory_need(config_with(2)).eal_bytes();
  const uint64_t three = memory_need(config_with(3)).eal_bytes();
  EXPECT_GT(two, one);
  EXPECT_GT(three - two, two - one);
}

TEST(Memory, CountsWhatTheTablesHoldWhenFull) {
  RouterConfig config = config_with(1);
  const uint64_t before = memory_need(config).heap_bytes();
  config.dataplane.sizes.rules *= 2;
  EXPECT_EQ(memory_need(config).heap_bytes() - before, uint64_t{1 << 20} * (32 + 16 + 32))
      << "a rule, what packets ask of it, and its owner";
}

TEST(Memory, CountsTheStreamsOfAllCircuitsOfASession) {
  RouterConfig config = config_with(1);
  const uint64_t before = memory_need(config).heap_bytes();
  ++config.dataplane.sizes.sessions;
  const uint64_t streams = kMaxMembers * kPlainWindowBytes + 2 * sizeof(StreamPage);
  EXPECT_GE(memory_need(config).heap_bytes() - before, sizeof(Session) + streams);
}

TEST(Memory, CountsTheWindowsOfCopiedStreams) {
  RouterConfig config = config_with(1);
  const uint64_t before = memory_need(config).heap_bytes();
  config.dataplane.sizes.copy_windows_bytes += 12345;
  EXPECT_EQ(memory_need(config).heap_bytes() - before, 12345u);
}

TEST(Memory, RefusesWhatDoesNotFit) {
  const auto tried = [](uint64_t eal, uint64_t heap, bool hugepages) {
    return check_memory({.parts = {{"test", eal, heap}}}, hugepages);
  };
  EXPECT_TRUE(tried(1 << 20, 1 << 20, false).has_value());
  const auto heap = tried(0, uint64_t{1} << 50, false);
  ASSERT_FALSE(heap.has_value());
  EXPECT_NE(heap.error().message.find("lower dataplane.sizes"), std::string::npos) << heap.error().message;
  EXPECT_FALSE(tried(uint64_t{1} << 50, 0, false).has_value()) << "without hugepages the EAL takes plain pages";
  const auto huge = tried(uint64_t{1} << 50, 0, true);
  ASSERT_FALSE(huge.has_value());
  EXPECT_NE(huge.error().message.find("nr_hugepages"), std::string::npos) << huge.error().message;
}

TEST(Memory, PrintsEachPartAndTheSum) {
  const std::string text = to_string({.parts = {{"rules", 0, 3 << 20}, {"EAL", 2 << 20, 0}}});
  EXPECT_NE(text.find("rules"), std::string::npos);
  EXPECT_NE(text.find("sum                             2            3"), std::string::npos) << text;
}

}  // namespace
}  // namespace sky::dataplane
