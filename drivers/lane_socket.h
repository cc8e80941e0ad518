// A receive and transmit queue on a Linux interface for the frames of some lanes: an AF_PACKET socket whose filter
// takes a frame when the last byte of its source MAC address, modulo the number of queues, is the queue's.
//
// One thread receives and sends. Cost: one system call a burst; frames are copied by the kernel, straight into and out
// of packet buffers.
#pragma once

#include <rte_mbuf.h>

#include <array>
#include <cstdint>
#include <memory>
#include <string>

#include "dataplane/base/result.h"

namespace sky::drivers {

/// Which lanes: L % queues == queue.
struct LaneShare {
  uint16_t queue;
  uint16_t queues;
};

/// Gives an AF_PACKET socket that filter.
Result<> take_lanes(int socket, LaneShare share);

class LaneSocket {
 public:
  static constexpr uint16_t kBurst = 64;  ///< also the buffers that it keeps

  static Result<std::unique_ptr<LaneSocket>> open(const std::string& interface, LaneShare share);
  ~LaneSocket();
  LaneSocket(const LaneSocket&) = delete;
  LaneSocket& operator=(const LaneSocket&) = delete;

  /// Frames longer than a buffer of the pool are dropped.
  uint16_t receive(rte_mempool* pool, rte_mbuf** out, uint16_t most) noexcept;
  /// Takes the first of the burst and says how many; frames of one buffer each.
  uint16_t send(rte_mbuf** buffers, uint16_t count) noexcept;
  int descriptor() const { return socket_; }

 private:
  explicit LaneSocket(int socket) : socket_(socket) {}
  bool refill(rte_mempool* pool) noexcept;

  int socket_;
  std::array<rte_mbuf*, kBurst> spare_{};  ///< buffers to receive into, [spares_]
  uint16_t spares_ = 0;
};

}  // namespace sky::drivers
