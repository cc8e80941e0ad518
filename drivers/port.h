// An Ethernet port driven by DPDK: a PCI address ("0000:03:00.0") or a device string of one of
// DPDK's software drivers
// ("net_af_packet0,iface=veth0"). The port owns its packet buffers: one pool, data room for its
// largest frame, so a frame never needs a second buffer.
//
// rx_burst and tx_burst: one thread per queue, no lock, no allocation; software drivers make system
// calls in them. tx_burst takes the first buffers of the burst and says how many: the rest stays
// the caller's. It never blocks: where a driver would (net_af_packet waits for ever on a full
// ring), the port is asked first. wait_descriptors: readable while frames wait on any queue; empty
// where the driver has none (then poll).
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

inline constexpr uint16_t kBufferPrivateBytes =
    64;  ///< behind each rte_mbuf, for its holder (rte_mbuf_to_priv)

struct PortConfig {
  std::string name;     ///< in router.yaml, for messages
  std::string device;   ///< DPDK device string or PCI address
  uint16_t mtu = 1500;  ///< bytes after the Ethernet header
  uint16_t queues = 1;  ///< receive and transmit queues each, one pair per worker
  uint32_t buffers = 4096;
};

/// What the driver counted.
struct PortTotals {
  uint64_t received, received_bytes, transmitted, transmitted_bytes, missed, no_buffer;
};

class Port {
 public:
  static Result<std::unique_ptr<Port>> open(const PortConfig& config);
  /// A port that exists already (rings made by a test), with a pool of its own.
  static Result<std::unique_ptr<Port>> adopt(uint16_t port_id, const PortConfig& config);
  /// Bytes of memory that a port of this configuration takes out of the EAL's.
  static size_t memory_bytes(const PortConfig& config);
  ~Port();
  Port(const Port&) = delete;
  Port& operator=(const Port&) = delete;

  uint16_t rx_burst(uint16_t queue, rte_mbuf** out, uint16_t most) noexcept {
    return rte_eth_rx_burst(id_, queue, out, most);
  }
  uint16_t tx_burst(uint16_t queue, rte_mbuf** buffers, uint16_t count) noexcept {
    return packet_sockets_.empty() ? rte_eth_tx_burst(id_, queue, buffers, count)
                                   : tx_packet_socket(queue, buffers, count);
  }

  const MacAddress& mac() const { return mac_; }
  uint16_t mtu() const { return config_.mtu; }
  const std::string& name() const { return config_.name; }
  rte_mempool* pool() const { return pool_; }
  bool link_up() const noexcept;
  PortTotals totals() const noexcept;
  std::span<const int> wait_descriptors() const { return packet_sockets_; }

 private:
  Port(uint16_t id, const PortConfig& config) : id_(id), config_(config) {}

  Result<> start();
  uint16_t tx_packet_socket(uint16_t queue, rte_mbuf** buffers, uint16_t count) noexcept;

  uint16_t id_;
  PortConfig config_;
  MacAddress mac_{};
  rte_mempool* pool_ = nullptr;
  std::vector<int>
      packet_sockets_;  ///< of net_af_packet, by queue; the driver's, not ours to close
};

}  // namespace sky::drivers
