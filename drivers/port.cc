#include "drivers/port.h"

#include <rte_dev.h>
#include <rte_errno.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <iterator>

#include "dataplane/base/log.h"
#include "drivers/eal.h"
#include "drivers/packet_socket.h"

namespace sky::drivers {
namespace {

constexpr size_t kPageBytes = 4096;
constexpr uint32_t kPoolCache = 256;
constexpr uint32_t kEthernetBytes = 18;  ///< with a VLAN tag
constexpr std::string_view kPacketSocketDriver = "net_af_packet";

uint16_t data_room(uint32_t frame_bytes) {
  return static_cast<uint16_t>(RTE_PKTMBUF_HEADROOM + (frame_bytes + 63) / 64 * 64);
}

Result<rte_mempool*> make_pool(const std::string& name, uint32_t buffers, uint32_t frame_bytes) {
  rte_mempool* pool =
      rte_pktmbuf_pool_create(name.c_str(), buffers, kPoolCache, 0, data_room(frame_bytes), SOCKET_ID_ANY);
  if (pool != nullptr) return pool;
  return fail("pool {}: no memory for {} buffers of {} bytes: {}", name, buffers, data_room(frame_bytes),
              rte_strerror(rte_errno));
}

size_t pool_bytes(uint32_t buffers, uint16_t mtu) {
  // Header, rte_mbuf, data room up to the slot of any driver; without hugepages no buffer crosses a page. Then the
  // caches of 128 lcores and the list of free buffers.
  const size_t element = 192 + RTE_PKTMBUF_HEADROOM + std::bit_ceil<size_t>(mtu + 128u);
  const size_t per_page = kPageBytes / element;
  const size_t buffer_bytes =
      per_page > 0 ? kPageBytes / per_page : (element + kPageBytes - 1) / kPageBytes * kPageBytes;
  return buffers * (buffer_bytes + 2 * sizeof(void*)) + (2 << 20);
}

std::string device_name(const std::string& device) {
  return device.substr(0, device.find(','));
}

/// PCI devices were probed when the EAL started, software ones are made here.
Result<uint16_t> find_device(const std::string& name) {
  rte_dev_iterator iterator;
  uint16_t id = RTE_MAX_ETHPORTS;
  RTE_ETH_FOREACH_MATCHING_DEV(id, name.c_str(), &iterator) {
    rte_eth_iterator_cleanup(&iterator);
    return id;
  }
  return fail("found no Ethernet device {}, wanted one that DPDK drives", name);
}

}  // namespace

/// A queue's receive descriptors, and those of every port's transmit queue that its frames may lie in.
uint32_t Port::buffers(const PortConfig& config) {
  return config.queues * (1u + config.ports) * kDescriptors + kSpareBuffers;
}

size_t Port::memory_bytes(const PortConfig& config) {
  return pool_bytes(buffers(config), config.mtu) + (512 << 10);
}

Result<std::unique_ptr<Port>> Port::open(const PortConfig& config) {
  const std::string name = device_name(config.device);
  std::string device = config.device;
  uint32_t slot_bytes = 0;
  const std::vector<int> before = packet_sockets();
  if (!is_pci_address(device)) {
    uint16_t taken;
    if (rte_eth_dev_get_port_by_name(name.c_str(), &taken) == 0) {
      return fail("port {}: device {} is another port's already, wanted a name of its own", config.name, name);
    }
    if (device.starts_with(kPacketSocketDriver)) {
      device = with_ring_arguments(device, config.mtu, config.queues);
      slot_bytes = frame_slot_bytes(device);
    }
    if (const int error = rte_dev_probe(device.c_str()); error != 0) {
      return fail("port {}: device {} does not start: {}", config.name, device, rte_strerror(-error));
    }
  }
  const auto id = find_device(name);
  if (!id) return fail("port {}: {}", config.name, id.error().message);
  std::unique_ptr<Port> port(new Port(*id, config));
  std::ranges::set_difference(packet_sockets(), before, std::back_inserter(port->wait_descriptors_));
  for (const int socket : port->wait_descriptors_) {
    if (auto done = set_up_packet_socket(socket, config.mtu); !done) {
      return fail("port {}: {}", config.name, done.error().message);
    }
  }
  if (auto started = port->start(slot_bytes); !started) return std::unexpected(started.error());
  return port;
}

Result<std::unique_ptr<Port>> Port::adopt(uint16_t device_id, const PortConfig& config) {
  std::unique_ptr<Port> port(new Port(device_id, config));
  if (auto started = port->start(0); !started) return std::unexpected(started.error());
  return port;
}

Port::~Port() {
  rte_eth_dev_stop(id_);
  rte_eth_dev_close(id_);
  if (pool_ != nullptr && rte_mempool_full(pool_)) rte_mempool_free(pool_);
}

Result<> Port::start(uint32_t largest_slot_bytes) {
  auto pool = make_pool("port-" + std::to_string(id_), buffers(config_),
                        std::max<uint32_t>(config_.mtu + kEthernetBytes, largest_slot_bytes));
  if (!pool) return fail("port {}: {}", config_.name, pool.error().message);
  pool_ = *pool;
  if (auto queues = set_up_queues(); !queues) return queues;
  if (const int error = rte_eth_dev_start(id_); error != 0) {
    return fail("port {}: does not start: {}", config_.name, rte_strerror(-error));
  }
  // The peer's frames go to a MAC address it learned from us, so this is for switches and tests.
  if (const int error = rte_eth_promiscuous_enable(id_); error != 0 && error != -ENOTSUP) {
    return fail("port {}: not promiscuous: {}", config_.name, rte_strerror(-error));
  }
  rte_ether_addr address;
  rte_eth_macaddr_get(id_, &address);
  std::memcpy(mac_.data(), address.addr_bytes, mac_.size());
  return {};
}

Result<> Port::set_up_queues() {
  rte_eth_dev_info info;
  if (const int error = rte_eth_dev_info_get(id_, &info); error != 0) {
    return fail("port {}: no device information: {}", config_.name, rte_strerror(-error));
  }
  if (config_.queues > info.max_tx_queues) {
    return fail("port {}: found {} receive and {} transmit queues, wanted {} each (one per worker)", config_.name,
                info.max_rx_queues, info.max_tx_queues, config_.queues);
  }
  rte_eth_conf conf{};
  // Software drivers claim limits that their interface does not have; theirs is set beside them.
  if (wait_descriptors_.empty() && info.max_mtu != UINT16_MAX) conf.rxmode.mtu = config_.mtu;
  if (const int error = rte_eth_dev_configure(id_, 1, config_.queues, &conf)) {
    return fail("port {}: cannot be set up with {} queues and MTU {}: {}", config_.name, config_.queues, config_.mtu,
                rte_strerror(-error));
  }
  uint16_t rx = kDescriptors;
  uint16_t tx = kDescriptors;
  rte_eth_dev_adjust_nb_rx_tx_desc(id_, &rx, &tx);
  const int socket = rte_eth_dev_socket_id(id_);
  for (uint16_t queue = 0; queue < config_.queues; ++queue) {
    int error = queue == 0 ? rte_eth_rx_queue_setup(id_, queue, rx, socket, nullptr, pool_) : 0;
    if (error == 0) error = rte_eth_tx_queue_setup(id_, queue, tx, socket, nullptr);
    if (error != 0) {
      return fail("port {}: queue {} cannot be set up: {}", config_.name, queue, rte_strerror(-error));
    }
  }
  return {};
}

bool Port::link_up() const noexcept {
  rte_eth_link link{};
  return rte_eth_link_get_nowait(id_, &link) == 0 && link.link_status == RTE_ETH_LINK_UP;
}

}  // namespace sky::drivers
