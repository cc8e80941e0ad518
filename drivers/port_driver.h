// What a driver of DPDK wants around the common course of Port::open, and what it can do. One subclass for each
// software driver that needs anything; this class alone serves NICs. Main core, except where a subclass says otherwise.
//
// Order: needs (no side effects, before DPDK runs), prepare, DPDK's probe, probed, queues, start, started, close.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "dataplane/base/device.h"
#include "dataplane/base/result.h"
#include "drivers/gate.h"
#include "drivers/lane_socket.h"

namespace sky::drivers {

struct PortConfig;

struct PortNeeds {
  uint16_t rx_queues = 1;    ///< of DPDK's device; several only where lanes can be steered to them
  uint16_t tx_queues = 1;    ///< of DPDK's device
  uint32_t frame_bytes = 0;  ///< what a buffer takes behind its headroom
  uint32_t buffers = 0;      ///< that the driver keeps at most, of this port's pool, per receive queue
  bool one_piece = false;    ///< the pool's memory, without a gap
};

class PortDriver {
 public:
  static std::unique_ptr<PortDriver> make(const PortConfig& config);
  virtual ~PortDriver() = default;
  PortDriver(const PortDriver&) = delete;
  PortDriver& operator=(const PortDriver&) = delete;

  virtual PortNeeds needs() const;
  /// The device as DPDK is to be told of it.
  virtual Result<std::string> prepare();
  virtual Result<> probed(uint16_t id);
  /// The descriptor that is readable while frames wait on the queue, among those opened while it was set up or before;
  /// -1 where there is none.
  virtual int wait_descriptor(uint16_t queue, std::span<const int> opened) const;
  /// What a queue wants that cannot be set up.
  virtual std::string queue_needs() const { return "more of what the lines above name"; }
  virtual Result<> start(uint16_t id);
  virtual Result<> started(uint16_t id);
  /// Queues that follow those of DPDK's device, each way.
  virtual Result<std::vector<std::unique_ptr<LaneSocket>>> lane_sockets();
  virtual void close(uint16_t id);
  virtual bool link_up(uint16_t id) const noexcept;
  /// Through which workers enter the driver; nullptr where they need not.
  virtual Gate* gate() { return nullptr; }

 protected:
  explicit PortDriver(const PortConfig& config);

  const PortConfig& config_;  ///< the port's
  Device device_;
};

}  // namespace sky::drivers
