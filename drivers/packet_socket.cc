#include "drivers/packet_socket.h"

#include <linux/if_packet.h>
#include <sys/socket.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "drivers/interface.h"
#include "drivers/port.h"

namespace sky::drivers {
namespace {

constexpr uint32_t kBlockBytes = 65536;
constexpr uint32_t kFrames = 1024;  ///< each way: 10 ms of 1420-byte packets at 1 Gb/s
// In front of a frame in its slot: tpacket2_hdr, sockaddr_ll, alignment; behind it a VLAN tag.
constexpr uint32_t kSlotOverhead = 96;
// More than a full transmit ring of any size charges to the socket.
constexpr int kSendBufferBytes = 256 << 20;

bool names_argument(const std::string& device, const char* argument) {
  return device.find(std::string(",") + argument + "=") != std::string::npos;
}

}  // namespace

std::string with_ring_arguments(const std::string& device, uint16_t mtu) {
  // A block holds whole frames without a gap, since the driver steps over blocks by frames.
  const uint32_t frame = std::bit_ceil(mtu + kEthernetBytes + kSlotOverhead);
  std::string result = device;
  const auto add = [&](const char* argument, uint32_t value) {
    if (!names_argument(device, argument)) result += fmt::format(",{}={}", argument, value);
  };
  add("qpairs", 1);
  add("blocksz", std::max(kBlockBytes, frame));
  add("framesz", frame);
  add("framecnt", kFrames);
  return result;
}

uint32_t frame_slot_bytes(const std::string& device_with_arguments) {
  const size_t at = device_with_arguments.find(",framesz=");
  return static_cast<uint32_t>(std::strtoul(device_with_arguments.c_str() + at + 9, nullptr, 10));
}

Result<> set_up_packet_socket(int socket) {
  if (setsockopt(socket, SOL_SOCKET, SO_SNDBUFFORCE, &kSendBufferBytes, sizeof(int)) != 0) {
    return fail("cannot enlarge a packet socket's send buffer: {}; CAP_NET_ADMIN is needed", std::strerror(errno));
  }
  const int one = 1;
  if (setsockopt(socket, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof(one)) != 0) {
    return fail("a packet socket without PACKET_IGNORE_OUTGOING: {}; Linux 4.20 is needed", std::strerror(errno));
  }
  return {};
}

PortNeeds PacketSocketDriver::needs() const {
  const uint32_t slot = frame_slot_bytes(with_ring_arguments(config_.device, config_.mtu));
  return {.frame_bytes = std::max<uint32_t>(config_.mtu + kEthernetBytes, slot),
          .buffers = config_.queues * uint32_t{LaneSocket::kBurst}};
}

Result<std::string> PacketSocketDriver::prepare() {
  if (auto fits = check_interface_mtu(device_.interface(), config_.mtu); !fits) return std::unexpected(fits.error());
  before_ = open_descriptors();
  return with_ring_arguments(config_.device, config_.mtu);
}

Result<> PacketSocketDriver::probed(uint16_t) {
  sockets_ = opened_since(before_);
  std::erase_if(sockets_, [](int descriptor) { return !is_socket_of(descriptor, AF_PACKET); });
  if (sockets_.empty()) return fail("net_af_packet opened no packet socket");
  return set_up_packet_socket(sockets_.front());
}

int PacketSocketDriver::wait_descriptor(uint16_t, std::span<const int>) const {
  return sockets_.front();
}

Result<std::vector<std::unique_ptr<LaneSocket>>> PacketSocketDriver::lane_sockets() {
  std::vector<std::unique_ptr<LaneSocket>> lanes;
  if (!config_.lanes_by_mac || config_.queues == 1) return lanes;
  if (auto done = take_lanes(sockets_.front(), {0, config_.queues}); !done) return std::unexpected(done.error());
  for (uint16_t queue = 1; queue < config_.queues; ++queue) {
    auto lane = LaneSocket::open(device_.interface(), {queue, config_.queues});
    if (!lane) return std::unexpected(lane.error());
    lanes.push_back(std::move(*lane));
  }
  return lanes;
}

bool PacketSocketDriver::link_up(uint16_t) const noexcept {
  return interface_running(device_.interface());
}

}  // namespace sky::drivers
