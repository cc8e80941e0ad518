// An Ethernet port driven by DPDK: a PCI address ("0000:03:00.0") or a device string of one of
// DPDK's software drivers ("net_af_packet0,iface=veth0"). The port owns the buffers it receives
// into: one pool, data room for its largest frame, so a frame never needs a second buffer.
//
// rx_burst and tx_burst: one thread per queue, no lock, no allocation, never waiting; software
// drivers make system calls in them. tx_burst takes the first buffers of the burst and says how
// many; the rest stays the caller's.
// wait_descriptors: readable while frames wait on any queue; empty where the driver has none (then
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

namespace sky::drivers {

struct PortConfig {
  std::string name;     ///< in router.yaml, for messages
  std::string device;   ///< DPDK device string or PCI address
  uint16_t mtu = 1500;  ///< bytes after the Ethernet header
  uint16_t queues = 1;  ///< receive and transmit queues each, one pair per worker
  uint16_t ports = 1;   ///< of this process: each may keep frames of any other until its ring is full
};

class Port {
 public:
  static constexpr uint16_t kDescriptors = 1024;
  /// What waits for a circuit (hold.h), workers' caches, and bursts under way.
  static constexpr uint32_t kSpareBuffers = 2 * kDescriptors;

  static Result<std::unique_ptr<Port>> open(const PortConfig& config);
  /// A device that exists already, such as one made of rings.
  static Result<std::unique_ptr<Port>> adopt(uint16_t device_id, const PortConfig& config);
  static size_t memory_bytes(const PortConfig& config);
  /// Buffers may be out: the pool is freed only when all came home.
  ~Port();
  Port(const Port&) = delete;
  Port& operator=(const Port&) = delete;

  uint16_t rx_burst(uint16_t queue, rte_mbuf** out, uint16_t most) noexcept {
    return rte_eth_rx_burst(id_, queue, out, most);
  }
  uint16_t tx_burst(uint16_t queue, rte_mbuf** buffers, uint16_t count) noexcept {
    return rte_eth_tx_burst(id_, queue, buffers, count);
  }

  const MacAddress& mac() const { return mac_; }
  uint16_t mtu() const { return config_.mtu; }
  const std::string& name() const { return config_.name; }
  rte_mempool* pool() const { return pool_; }
  bool link_up() const noexcept;
  std::span<const int> wait_descriptors(uint16_t) const { return wait_descriptors_; }

 private:
  Port(uint16_t id, const PortConfig& config) : id_(id), config_(config) {}

  static uint32_t buffers(const PortConfig& config);
  Result<> start(uint32_t largest_slot_bytes);
  Result<> set_up_queues();

  uint16_t id_;
  PortConfig config_;
  MacAddress mac_{};
  rte_mempool* pool_ = nullptr;
  std::vector<int> wait_descriptors_;  ///< the driver's, not ours to close
};

}  // namespace sky::drivers
