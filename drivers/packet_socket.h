// What DPDK's net_af_packet driver leaves to be done around it. It opens one AF_PACKET socket per queue when its device
// is probed and tells nobody; they are found among this process's descriptors, so that a worker can sleep on them and
// they can be set up in full.
//
// DPDK's device has one queue: the driver's own way of having several is a fanout by flow that goes to the next socket
// when one is full (PACKET_FANOUT_HASH with ROLLOVER). It knows no flow in an Ethernet frame of another EtherType than
// IP, so one socket gets them all, and another what that one cannot take: frames would come out of order, at a worker
// that does not have their window. The kernel lets no socket leave a fanout or give it another rule, so where lanes are
// steered each further queue is a LaneSocket.
#pragma once

#include <string>
#include <vector>

#include "drivers/port_driver.h"

namespace sky::drivers {

/// `device` with the driver's ring arguments that it does not name itself: frames of `mtu` bytes.
std::string with_ring_arguments(const std::string& device, uint16_t mtu);
/// Bytes of one frame slot under these arguments: what a packet buffer must be able to take.
uint32_t frame_slot_bytes(const std::string& device_with_arguments);

/// After this the host's own outgoing frames are not seen, and the driver's transmit call never waits (it would in
/// poll(2) once the send buffer is half full).
Result<> set_up_packet_socket(int socket);

class PacketSocketDriver final : public PortDriver {
 public:
  explicit PacketSocketDriver(const PortConfig& config) : PortDriver(config) {}

  PortNeeds needs() const override;
  Result<std::string> prepare() override;
  Result<> probed(uint16_t id) override;
  int wait_descriptor(uint16_t queue, std::span<const int> opened) const override;
  Result<std::vector<std::unique_ptr<LaneSocket>>> lane_sockets() override;
  bool link_up(uint16_t id) const noexcept override;

 private:
  std::vector<int> before_;
  std::vector<int> sockets_;
};

}  // namespace sky::drivers
