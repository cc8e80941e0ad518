// What DPDK's net_af_xdp driver leaves to be done around it.
//
// Its memory: the driver hands a port's pool to the kernel as one piece whose size it computes from the count of
// buffers, so they must lie side by side; and the kernel takes pieces of 2048 to 4096 bytes, each with 256 bytes of its
// own in front of the frame. Its queues: those of the interface; frames on a queue without a socket go to the kernel,
// so there must be one. Its XDP program: left to itself libxdp looks for one that is there, for which it needs
// CAP_SYS_ADMIN; named as a file it needs CAP_BPF alone, but one that a killed process left is then in the way, so what
// is there is taken off first.
#pragma once

#include <vector>

#include "drivers/port_driver.h"

namespace sky::drivers {

class XdpDriver final : public PortDriver {
 public:
  explicit XdpDriver(const PortConfig& config) : PortDriver(config) {}

  PortNeeds needs() const override;
  Result<std::string> prepare() override;
  std::string queue_needs() const override;
  int wait_descriptor(uint16_t queue, std::span<const int> opened) const override;
  bool link_up(uint16_t id) const noexcept override;
};

}  // namespace sky::drivers
