#include "drivers/port_driver.h"

#include <rte_errno.h>
#include <rte_ethdev.h>

#include "drivers/lane_rules.h"
#include "drivers/memif.h"
#include "drivers/packet_socket.h"
#include "drivers/port.h"
#include "drivers/tap.h"
#include "drivers/xdp.h"

namespace sky::drivers {

std::unique_ptr<PortDriver> PortDriver::make(const PortConfig& config) {
  switch (parse_device(config.device).kind) {
    case DeviceKind::packet_socket:
      return std::make_unique<PacketSocketDriver>(config);
    case DeviceKind::xdp:
      return std::make_unique<XdpDriver>(config);
    case DeviceKind::tap:
      return std::make_unique<TapDriver>(config);
    case DeviceKind::memif:
      return std::make_unique<MemifDriver>(config);
    default:
      return std::unique_ptr<PortDriver>(new PortDriver(config));
  }
}

PortDriver::PortDriver(const PortConfig& config) : config_(config), device_(parse_device(config.device)) {}

PortNeeds PortDriver::needs() const {
  const bool steered = device_.kind == DeviceKind::nic && config_.lanes_by_mac;
  return {.rx_queues = steered ? config_.queues : uint16_t{1},
          .tx_queues = device_.kind == DeviceKind::nic ? config_.queues : uint16_t{1},
          .frame_bytes = config_.mtu + kEthernetBytes,
          .buffers = Port::kDescriptors};
}

Result<std::string> PortDriver::prepare() {
  return config_.device;
}

Result<> PortDriver::probed(uint16_t) {
  return {};
}

int PortDriver::wait_descriptor(uint16_t, std::span<const int>) const {
  return -1;
}

Result<> PortDriver::start(uint16_t id) {
  if (const int error = rte_eth_dev_start(id); error != 0) return fail("does not start: {}", rte_strerror(-error));
  return {};
}

void PortDriver::close(uint16_t id) {
  rte_eth_dev_stop(id);
  rte_eth_dev_close(id);
}

Result<> PortDriver::started(uint16_t id) {
  const PortNeeds need = needs();
  return need.rx_queues > 1 ? steer_lanes(id, need.rx_queues) : Result<>{};
}

Result<std::vector<std::unique_ptr<LaneSocket>>> PortDriver::lane_sockets() {
  return std::vector<std::unique_ptr<LaneSocket>>{};
}

bool PortDriver::link_up(uint16_t id) const noexcept {
  rte_eth_link link{};
  return rte_eth_link_get_nowait(id, &link) == 0 && link.link_status == RTE_ETH_LINK_UP;
}

}  // namespace sky::drivers
