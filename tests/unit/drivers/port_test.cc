// How many queues a port has, who may use them at once, and how large its pool is.
#include "drivers/port.h"

#include <gtest/gtest.h>
#include <rte_eth_ring.h>
#include <sched.h>

#include <array>
#include <filesystem>
#include <thread>

#include "drivers/eal.h"
#include "drivers/lane_rules.h"

namespace sky::drivers {
namespace {

class PortTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    std::string scratch = (std::filesystem::temp_directory_path() / "skyedge-test-XXXXXX").string();
    ASSERT_NE(mkdtemp(scratch.data()), nullptr);
    const auto started = start_eal({.main_core = static_cast<uint16_t>(sched_getcpu()),
                                    .workers = {},
                                    .hugepages = false,
                                    .memory_bytes = 128 << 20,
                                    .devices = {},
                                    .scratch = scratch});
    std::filesystem::remove(scratch);
    ASSERT_TRUE(started.has_value()) << started.error().message;
  }
};

TEST_F(PortTest, ADriverThatCannotSteerHasOneReceiveQueueWhateverIsAsked) {
  const auto port = Port::open({.name = "p", .device = "net_null0", .queues = 4, .lanes_by_mac = true});
  ASSERT_TRUE(port.has_value()) << port.error().message;
  EXPECT_EQ((*port)->rx_queues(), 1);
  EXPECT_EQ((*port)->tx_queues(), 1);
  EXPECT_TRUE((*port)->wait_descriptors().empty());
  EXPECT_TRUE((*port)->wait_descriptors(0).empty());
}

TEST_F(PortTest, WorkersThatShareATransmitQueueDoNotMeetInIt) {
  constexpr uint16_t kWorkers = 4;
  constexpr unsigned kFrames = 20'000;
  constexpr unsigned kRing = 1 << 17;
  // One producer at a time: two at once would lose frames or tear the ring.
  rte_ring* away = rte_ring_create("away", kRing, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);
  ASSERT_NE(away, nullptr);
  const int id = rte_eth_from_rings("shared", &away, 1, &away, 1, SOCKET_ID_ANY);
  ASSERT_GE(id, 0);
  const auto port = Port::adopt(static_cast<uint16_t>(id), {.name = "p", .device = "shared", .queues = kWorkers});
  ASSERT_TRUE(port.has_value()) << port.error().message;
  ASSERT_EQ((*port)->tx_queues(), 1);
  std::vector<std::thread> workers;
  std::atomic<unsigned> sent = 0;
  for (uint16_t number = 0; number < kWorkers; ++number) {
    workers.emplace_back([&, number] {
      for (unsigned i = 0; i < kFrames; ++i) {
        auto* frame = reinterpret_cast<rte_mbuf*>(uintptr_t{number} * kFrames + i + 1);
        sent += (*port)->tx_burst(number, &frame, 1);
      }
    });
  }
  for (std::thread& worker : workers) worker.join();
  EXPECT_EQ(sent, kWorkers * kFrames);
  std::vector<bool> seen(kWorkers * kFrames + 1);
  void* frame;
  unsigned count = 0;
  while (rte_ring_dequeue(away, &frame) == 0) {
    const auto number = reinterpret_cast<uintptr_t>(frame);
    ASSERT_LT(number, seen.size());
    ASSERT_FALSE(seen[number]) << number << " twice";
    seen[number] = true;
    ++count;
  }
  EXPECT_EQ(count, kWorkers * kFrames);
}

TEST_F(PortTest, AnAdoptedDeviceHasTheQueuesItWasMadeWith) {
  std::array<rte_ring*, 2> rings{};
  for (size_t i = 0; i < rings.size(); ++i) {
    rings[i] = rte_ring_create(("pair" + std::to_string(i)).c_str(), 64, SOCKET_ID_ANY, 0);
  }
  const int id = rte_eth_from_rings("pairs", rings.data(), 2, rings.data(), 2, SOCKET_ID_ANY);
  ASSERT_GE(id, 0);
  const auto port = Port::adopt(static_cast<uint16_t>(id), {.name = "p", .device = "pairs", .queues = 2});
  ASSERT_TRUE(port.has_value()) << port.error().message;
  EXPECT_EQ((*port)->rx_queues(), 2);
  EXPECT_EQ((*port)->tx_queues(), 2);
}

TEST_F(PortTest, ADeviceServesOnePort) {
  const auto first = Port::open({.name = "p", .device = "net_null7"});
  ASSERT_TRUE(first.has_value());
  const auto second = Port::open({.name = "q", .device = "net_null7"});
  ASSERT_FALSE(second.has_value());
  EXPECT_EQ(second.error().message, "port q: device net_null7 is another port's already, wanted a name of its own");
}

TEST_F(PortTest, TheMemoryAskedForHoldsThePool) {
  for (const uint16_t mtu : {1280, 1500, 3502}) {
    const PortConfig config{.name = "p", .device = "net_null" + std::to_string(mtu), .mtu = mtu};
    const auto port = Port::open(config);
    ASSERT_TRUE(port.has_value()) << port.error().message;
    size_t taken = 0;
    rte_mempool_mem_iter(
        (*port)->pool(),
        [](rte_mempool*, void* sum, rte_mempool_memhdr* chunk, unsigned) { *static_cast<size_t*>(sum) += chunk->len; },
        &taken);
    EXPECT_LE(taken, Port::memory_bytes(config)) << mtu;
    EXPECT_GE(rte_pktmbuf_data_room_size((*port)->pool()) - RTE_PKTMBUF_HEADROOM, mtu + 18);
  }
}

TEST(PortNeeds, OfXdpFillAPageAtMost) {
  for (uint16_t mtu = 1280; mtu <= 3502; ++mtu) {
    const PortConfig config{.name = "p", .device = "net_af_xdp0,iface=x", .mtu = mtu};
    const PortNeeds needs = PortDriver::make(config)->needs();
    const uint32_t room = RTE_PKTMBUF_HEADROOM + (needs.frame_bytes + 63) / 64 * 64;
    const uint32_t piece = 64 + sizeof(rte_mbuf) + room;
    ASSERT_GE(piece, 2048u) << mtu;
    ASSERT_LE(piece, 4096u) << mtu;
    ASSERT_GE(piece - 64 - sizeof(rte_mbuf) - RTE_PKTMBUF_HEADROOM - 256, mtu + 18u) << mtu;
    ASSERT_TRUE(needs.one_piece);
  }
}

TEST(PortNeeds, ANicHasATransmitQueuePerWorkerAndAReceiveQueuePerWorkerWithLanes) {
  const PortConfig config{.name = "p", .device = "0000:3b:00.0", .queues = 3};
  EXPECT_EQ(PortDriver::make(config)->needs().rx_queues, 1);
  EXPECT_EQ(PortDriver::make(config)->needs().tx_queues, 3);
  PortConfig lanes = config;
  lanes.lanes_by_mac = true;
  EXPECT_EQ(PortDriver::make(lanes)->needs().rx_queues, 3);
}

TEST(LaneRules, GiveEveryLaneItsQueueExactlyOnce) {
  for (uint16_t queues = 1; queues <= 16; ++queues) {
    for (unsigned lane = 0; lane < 256; ++lane) {
      unsigned hits = 0;
      for (const LaneRule& rule : lane_rules(queues)) {
        if ((lane & rule.mask) != rule.value) continue;
        ++hits;
        EXPECT_EQ(rule.queue, lane % queues);
      }
      EXPECT_EQ(hits, 1u) << "lane " << lane << " of " << queues;
    }
  }
  EXPECT_EQ(lane_rules(4).size(), 4u);
  EXPECT_EQ(lane_rules(3).size(), 256u);
}

TEST_F(PortTest, ADriverWithoutRulesSaysSo) {
  const auto port = Port::open({.name = "p", .device = "net_null9"});
  ASSERT_TRUE(port.has_value());
  uint16_t id;
  ASSERT_EQ(rte_eth_dev_get_port_by_name("net_null9", &id), 0);
  const auto steered = steer_lanes(id, 2);
  ASSERT_FALSE(steered.has_value());
  EXPECT_TRUE(steered.error().message.starts_with("lanes by MAC: the NIC takes no rule")) << steered.error().message;
}

}  // namespace
}  // namespace sky::drivers
