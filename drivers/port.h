// An Ethernet port driven by DPDK: a PCI address ("0000:03:00.0") or a device string of one of
// DPDK's software drivers ("net_af_packet0,iface=veth0"). The port owns the buffers it receives
// into: one pool, data room for its largest frame, so a frame never needs a second buffer.
//
// Receive queues: one, which one worker polls; one per worker with `lanes_by_mac`, where the driver
// can steer: then a frame whose source MAC address ends in byte L comes to queue L % rx_queues().
// Where it cannot, rx_queues() stays 1. Transmit: every worker calls tx_burst with its own number;
// workers that outnumber the driver's transmit queues wait for each other.
//
// rx_burst and tx_burst: one thread per queue number, no allocation, no waiting but that; software
// drivers make system calls in them. tx_burst takes the first buffers of the burst and says how
// many; the rest stays the caller's.
// wait_descriptors: readable while frames wait on a queue; empty where the driver has none (then
// poll).
#pragma once

#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "dataplane/base/ids.h"
#include "dataplane/base/result.h"
#include "drivers/port_driver.h"

namespace sky::drivers {

constexpr uint32_t kEthernetBytes = 18;  ///< with a VLAN tag

struct PortConfig {
  std::string name;           ///< in router.yaml, for messages
  std::string device;         ///< DPDK device string or PCI address
  uint16_t mtu = 1500;        ///< bytes after the Ethernet header
  uint16_t queues = 1;        ///< workers that send through it, and that may receive
  uint16_t ports = 1;         ///< of this process: each may keep frames of any other until its ring is full
  bool lanes_by_mac = false;  ///< every peer puts its lane into the last byte of its source MAC address
};

class Port {
 public:
  static constexpr uint16_t kDescriptors = 1024;
  /// What waits for a circuit (hold.h), workers' caches, and bursts under way.
  static constexpr uint32_t kSpareBuffers = 2 * kDescriptors;

  static Result<std::unique_ptr<Port>> open(const PortConfig& config);
  /// A device that exists already, such as one made of rings: with `queues` queues each way, or as many as it has.
  static Result<std::unique_ptr<Port>> adopt(uint16_t device_id, const PortConfig& config);
  static size_t memory_bytes(const PortConfig& config);
  /// Buffers may be out: the pool is freed only when all came home.
  ~Port();
  Port(const Port&) = delete;
  Port& operator=(const Port&) = delete;

  /// `queue` below rx_queues().
  uint16_t rx_burst(uint16_t queue, rte_mbuf** out, uint16_t most) noexcept {
    return plain_ ? rte_eth_rx_burst(id_, queue, out, most) : rx_burst_otherwise(queue, out, most);
  }
  /// `queue` below PortConfig::queues, whatever tx_queues() is.
  uint16_t tx_burst(uint16_t queue, rte_mbuf** buffers, uint16_t count) noexcept {
    return plain_ ? rte_eth_tx_burst(id_, queue, buffers, count) : tx_burst_otherwise(queue, buffers, count);
  }

  /// 1, or PortConfig::queues.
  uint16_t rx_queues() const { return static_cast<uint16_t>(needs_.rx_queues + lane_sockets_.size()); }
  /// That no two workers share: 1, or PortConfig::queues.
  uint16_t tx_queues() const { return static_cast<uint16_t>(needs_.tx_queues + lane_sockets_.size()); }
  const MacAddress& mac() const { return mac_; }
  uint16_t mtu() const { return config_.mtu; }
  const std::string& name() const { return config_.name; }
  rte_mempool* pool() const { return pool_; }
  bool link_up() const noexcept { return driver_->link_up(id_); }
  /// Of all receive queues; of one.
  std::span<const int> wait_descriptors() const { return wait_descriptors_; }
  std::span<const int> wait_descriptors(uint16_t queue) const;

 private:
  explicit Port(const PortConfig& config);

  Result<> probe();
  Result<> set_up();
  Result<> configure();
  Result<> set_up_queue(uint16_t queue);
  Result<> set_up_ways();

  uint16_t rx_burst_otherwise(uint16_t queue, rte_mbuf** out, uint16_t most) noexcept;
  uint16_t tx_burst_otherwise(uint16_t queue, rte_mbuf** buffers, uint16_t count) noexcept;

  uint16_t id_ = RTE_MAX_ETHPORTS;
  const PortConfig config_;
  std::unique_ptr<PortDriver> driver_;
  PortNeeds needs_;
  bool plain_ = true;        ///< every queue is DPDK's, and nobody stands in its way
  Gate shared_tx_;           ///< of workers that share a transmit queue
  Gate* gate_ = nullptr;     ///< before receiving
  Gate* tx_gate_ = nullptr;  ///< before sending
  std::vector<std::unique_ptr<LaneSocket>> lane_sockets_;
  MacAddress mac_{};
  rte_mempool* pool_ = nullptr;
  std::vector<int> wait_descriptors_;  ///< the driver's, not ours to close; none, or one per receive queue in order
};

}  // namespace sky::drivers
