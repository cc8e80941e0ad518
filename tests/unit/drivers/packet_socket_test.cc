// The ring arguments that net_af_packet gets: slots that hold the port's frames, blocks without a gap.
#include "drivers/packet_socket.h"

#include <gtest/gtest.h>

#include <cstdlib>

namespace sky::drivers {
namespace {

uint32_t argument(const std::string& device, const std::string& name) {
  const size_t at = device.find("," + name + "=");
  return at == std::string::npos ? 0 : static_cast<uint32_t>(std::atoi(device.c_str() + at + name.size() + 2));
}

TEST(RingArguments, HoldTheLargestFrameOfEveryMtu) {
  for (uint32_t mtu = 1280; mtu <= 9216; ++mtu) {
    const std::string device = with_ring_arguments("net_af_packet0,iface=x", static_cast<uint16_t>(mtu));
    const uint32_t frame = argument(device, "framesz");
    const uint32_t block = argument(device, "blocksz");
    const uint32_t count = argument(device, "framecnt");
    // linux/if_packet.h: what the kernel puts in front of a frame, at most 82 bytes for Ethernet; then a VLAN tag.
    ASSERT_GE(frame, mtu + 14 + 4 + 82) << mtu;
    ASSERT_EQ(frame % 16, 0u);
    ASSERT_EQ(block % 4096, 0u);
    ASSERT_EQ(block % frame, 0u) << "the driver steps over blocks by frames";
    ASSERT_EQ(count % (block / frame), 0u);
    ASSERT_EQ(frame_slot_bytes(device), frame);
  }
}

TEST(RingArguments, LeaveWhatTheOperatorChose) {
  const std::string device = with_ring_arguments("net_af_packet0,iface=x,framecnt=64,framesz=4096", 1500);
  EXPECT_EQ(device, "net_af_packet0,iface=x,framecnt=64,framesz=4096,qpairs=1,blocksz=65536");
  EXPECT_EQ(frame_slot_bytes(device), 4096u);
}

}  // namespace
}  // namespace sky::drivers
