// What DPDK's net_memif driver leaves to be done around it: two processes of one owner, frames copied through memory
// that the client gives and the server maps.
//
// Its socket: a path, of this user alone; what a killed server left there is removed. Its connection: the driver's
// client fails when there is no server and never tries again, so trying is done here. Its memory: when the peer goes,
// EAL's interrupt thread unmaps it, whoever is reading there. So that thread is held back, and let go for moments in
// which no worker is behind the port's gate.
//
// One queue each way, whatever the number of workers at either end: a server crashes on a ring that it has no queue
// for.
#pragma once

#include <sys/types.h>

#include <string>

#include "drivers/port_driver.h"
#include "drivers/quiet_log.h"

namespace sky::drivers {

/// Makes room for a server at `path`. Fails where another process serves there.
Result<> clear_socket_path(const std::string& path);

/// EAL's interrupt thread is kept from everything but the driver's work, and after the last port from that too.
bool holds_interrupt_thread() noexcept;

class MemifDriver final : public PortDriver {
 public:
  explicit MemifDriver(const PortConfig& config);

  Result<std::string> prepare() override;
  Result<> probed(uint16_t id) override;
  /// Does not fail for want of a server.
  Result<> start(uint16_t id) override;
  void close(uint16_t id) override;
  Gate* gate() override { return &gate_; }

  /// EAL's interrupt thread, with the gate locked: is the peer there, and if not, is it time to ask for it?
  void look_after() noexcept;
  bool connected() const noexcept { return connected_; }

 private:
  bool is_server() const;
  void set_connected(bool connected) noexcept;

  std::unique_ptr<QuietLog> quiet_;  ///< during the probe: DPDK's processes share nothing here
  Gate gate_;
  uint16_t id_ = 0;
  bool connected_ = false;
  unsigned rounds_to_try_ = 0;  ///< until a client asks again
  int connection_ = -1;         ///< a client's, the driver's to close
  ino_t connection_inode_ = 0;
};

}  // namespace sky::drivers
