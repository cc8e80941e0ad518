#include "drivers/port.h"

#include <rte_dev.h>
#include <rte_errno.h>

#include <algorithm>
#include <bit>
#include <cstring>

#include "dataplane/base/log.h"
#include "drivers/interface.h"
#include "drivers/packet_pool.h"

namespace sky::drivers {
namespace {

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

/// What the driver keeps, what may lie in the transmit queues of every port, and the port's own.
PoolSize pool_size(const PortConfig& config, const PortNeeds& needs) {
  const uint32_t under_way = uint32_t{config.queues} * config.ports * Port::kDescriptors;
  return {.buffers = needs.rx_queues * needs.buffers + under_way + Port::kSpareBuffers,
          .frame_bytes = needs.frame_bytes,
          .one_piece = needs.one_piece};
}

}  // namespace

size_t Port::memory_bytes(const PortConfig& config) {
  return pool_bytes(pool_size(config, PortDriver::make(config)->needs())) + (512 << 10);
}

Port::Port(const PortConfig& config) : config_(config), driver_(PortDriver::make(config_)), needs_(driver_->needs()) {}

Result<std::unique_ptr<Port>> Port::open(const PortConfig& config) {
  std::unique_ptr<Port> port(new Port(config));
  for (auto step : {&Port::probe, &Port::set_up}) {
    if (auto done = (port.get()->*step)(); !done) return fail("port {}: {}", config.name, done.error().message);
  }
  return port;
}

Result<std::unique_ptr<Port>> Port::adopt(uint16_t device_id, const PortConfig& config) {
  std::unique_ptr<Port> port(new Port(config));
  port->id_ = device_id;
  rte_eth_dev_info info;
  if (const int error = rte_eth_dev_info_get(device_id, &info); error != 0) {
    return fail("port {}: no device information: {}", config.name, rte_strerror(-error));
  }
  port->needs_.rx_queues = std::min(config.queues, info.max_rx_queues);
  port->needs_.tx_queues = std::min(config.queues, info.max_tx_queues);
  if (auto done = port->set_up(); !done) return fail("port {}: {}", config.name, done.error().message);
  return port;
}

Port::~Port() {
  if (id_ == RTE_MAX_ETHPORTS) return;
  lane_sockets_.clear();
  driver_->close(id_);
  if (pool_ != nullptr && rte_mempool_full(pool_)) rte_mempool_free(pool_);
}

Result<> Port::probe() {
  const Device device = parse_device(config_.device);
  if (device.kind != DeviceKind::nic) {
    uint16_t taken;
    if (rte_eth_dev_get_port_by_name(device.name.c_str(), &taken) == 0) {
      return fail("device {} is another port's already, wanted a name of its own", device.name);
    }
    const auto whole = driver_->prepare();
    if (!whole) return std::unexpected(whole.error());
    if (const int error = rte_dev_probe(whole->c_str()); error != 0) {
      return fail("device {} does not start: {}", *whole, rte_strerror(-error));
    }
  }
  const auto id = find_device(device.name);
  if (!id) return std::unexpected(id.error());
  id_ = *id;
  return driver_->probed(id_);
}

Result<> Port::set_up() {
  auto pool = make_pool("port-" + std::to_string(id_), pool_size(config_, needs_));
  if (!pool) return std::unexpected(pool.error());
  pool_ = *pool;
  if (auto done = configure(); !done) return done;
  for (uint16_t queue = 0; queue < std::max(needs_.rx_queues, needs_.tx_queues); ++queue) {
    if (auto done = set_up_queue(queue); !done) return done;
  }
  if (auto done = driver_->start(id_); !done) return done;
  // The peer's frames go to a MAC address it learned from us, so this is for switches and tests.
  if (const int error = rte_eth_promiscuous_enable(id_); error != 0 && error != -ENOTSUP) {
    return fail("not promiscuous: {}", rte_strerror(-error));
  }
  rte_ether_addr address;
  rte_eth_macaddr_get(id_, &address);
  std::memcpy(mac_.data(), address.addr_bytes, mac_.size());
  if (auto done = driver_->started(id_); !done) return done;
  return set_up_ways();
}

Result<> Port::set_up_ways() {
  auto lanes = driver_->lane_sockets();
  if (!lanes) return std::unexpected(lanes.error());
  lane_sockets_ = std::move(*lanes);
  for (const auto& lane : lane_sockets_) wait_descriptors_.push_back(lane->descriptor());
  if (tx_queues() < config_.queues) tx_gate_ = &shared_tx_;
  if (driver_->gate() != nullptr) gate_ = tx_gate_ = driver_->gate();
  plain_ = tx_gate_ == nullptr && lane_sockets_.empty();
  return {};
}

uint16_t Port::rx_burst_otherwise(uint16_t queue, rte_mbuf** out, uint16_t most) noexcept {
  if (queue >= needs_.rx_queues) return lane_sockets_[queue - needs_.rx_queues]->receive(pool_, out, most);
  if (gate_ == nullptr) return rte_eth_rx_burst(id_, queue, out, most);
  if (!gate_->enter()) return 0;
  const uint16_t count = rte_eth_rx_burst(id_, queue, out, most);
  gate_->leave();
  return count;
}

uint16_t Port::tx_burst_otherwise(uint16_t queue, rte_mbuf** buffers, uint16_t count) noexcept {
  if (tx_gate_ == nullptr) {
    return queue < needs_.tx_queues ? rte_eth_tx_burst(id_, queue, buffers, count)
                                    : lane_sockets_[queue - needs_.tx_queues]->send(buffers, count);
  }
  if (!tx_gate_->enter()) return 0;
  const uint16_t sent = rte_eth_tx_burst(id_, queue % needs_.tx_queues, buffers, count);
  tx_gate_->leave();
  return sent;
}

Result<> Port::configure() {
  rte_eth_dev_info info;
  if (const int error = rte_eth_dev_info_get(id_, &info); error != 0) {
    return fail("no device information: {}", rte_strerror(-error));
  }
  if (needs_.rx_queues > info.max_rx_queues || needs_.tx_queues > info.max_tx_queues) {
    return fail("found {} receive and {} transmit queues, wanted {} and {}", info.max_rx_queues, info.max_tx_queues,
                needs_.rx_queues, needs_.tx_queues);
  }
  rte_eth_conf conf{};
  // Software drivers that name no limit check against one that their interface does not have.
  if (info.max_mtu != UINT16_MAX) conf.rxmode.mtu = config_.mtu;
  if (const int error = rte_eth_dev_configure(id_, needs_.rx_queues, needs_.tx_queues, &conf)) {
    return fail("cannot be set up with {} receive and {} transmit queues and MTU {}: {}", needs_.rx_queues,
                needs_.tx_queues, config_.mtu, rte_strerror(-error));
  }
  return {};
}

Result<> Port::set_up_queue(uint16_t queue) {
  uint16_t rx = kDescriptors;
  uint16_t tx = kDescriptors;
  rte_eth_dev_adjust_nb_rx_tx_desc(id_, &rx, &tx);
  const int socket = rte_eth_dev_socket_id(id_);
  int error = 0;
  if (queue < needs_.rx_queues) {
    const std::vector<int> before = open_descriptors();
    error = rte_eth_rx_queue_setup(id_, queue, rx, socket, nullptr, pool_);
    const int descriptor = driver_->wait_descriptor(queue, opened_since(before));
    if (error == 0 && descriptor >= 0) wait_descriptors_.push_back(descriptor);
  }
  if (error == 0 && queue < needs_.tx_queues) error = rte_eth_tx_queue_setup(id_, queue, tx, socket, nullptr);
  if (error == 0) return {};
  return fail("queue {} cannot be set up: {}; wanted {}", queue, rte_strerror(-error), driver_->queue_needs());
}

std::span<const int> Port::wait_descriptors(uint16_t queue) const {
  return wait_descriptors_.empty() ? std::span<const int>{} : std::span(wait_descriptors_).subspan(queue, 1);
}

}  // namespace sky::drivers
