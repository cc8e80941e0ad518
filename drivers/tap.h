// What DPDK's net_tap driver leaves to be done around it.
//
// The driver makes a TAP interface: what the kernel sends out of it the port receives, what the port sends the kernel
// receives, so the other end of this wire is in this machine (a bridge, a guest). It gives both ends the same MAC
// address, on which a bridge would keep the port's frames for itself; so the kernel's end gets another. It has every
// frame signalled to the process, which would wake the main core for each; so it is made to find no signal free, and
// then reads whenever it is asked.
//
// One queue: which of several gets a frame is the kernel's choice, unless rte_flow makes it, for which the driver needs
// qdiscs that not every kernel has.
#pragma once

#include <signal.h>

#include <memory>
#include <string>
#include <vector>

#include "drivers/port_driver.h"

namespace sky::drivers {

/// In its life every realtime signal has a handler, as if all were in use; afterwards those that had none are as
/// before.
class SignalsTaken {
 public:
  SignalsTaken();
  ~SignalsTaken();
  SignalsTaken(const SignalsTaken&) = delete;
  SignalsTaken& operator=(const SignalsTaken&) = delete;

 private:
  std::vector<int> taken_;
};

class TapDriver final : public PortDriver {
 public:
  explicit TapDriver(const PortConfig& config);
  ~TapDriver() override;

  Result<std::string> prepare() override;
  int wait_descriptor(uint16_t queue, std::span<const int> opened) const override;
  Result<> start(uint16_t id) override;
  Result<> started(uint16_t id) override;

 private:
  /// Until all queues are made: what it finds, and what it says of it.
  struct Making;
  std::unique_ptr<Making> making_;
};

}  // namespace sky::drivers
