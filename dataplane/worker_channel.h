// The rings between the main core and one worker: the same single-producer rings as across the contract, in private
// memory. A worker never blocks on them: what does not fit is dropped and counted.
//
// Wakes: the main core writes `wake_worker` after a push, since an idle worker may be asleep; a worker writes
// `wake_main` once per turn that pushed. Both are eventfds, -1 when nobody sleeps (tests).
#pragma once

#include <atomic>
#include <memory>
#include <vector>

#include "dataplane/protocol/control_packet.h"
#include "dataplane/protocol/install.h"
#include "dataplane/protocol/shm_ring.h"

struct rte_mbuf;

namespace sky::dataplane {

struct Watch;

/// A ring whose two ends live in this process, on different threads.
template <typename T>
class LocalRing {
 public:
  explicit LocalRing(uint32_t capacity)
      : slots_(std::make_unique<T[]>(capacity)),
        producer(positions_.get(), slots_.get(), capacity),
        consumer(positions_.get(), slots_.get(), capacity) {}

 private:
  std::unique_ptr<ShmRingPositions> positions_ = std::make_unique<ShmRingPositions>();
  std::unique_ptr<T[]> slots_;

 public:
  ShmProducer<T> producer;
  ShmConsumer<T> consumer;
};

/// A packet on its way from one worker to another: opened, as `open` left it.
struct HandedPacket {
  rte_mbuf* mbuf;
  uint32_t offset;  ///< of the link header in the buffer
  uint16_t length;
  LinkIndex link;  ///< arrived on
};
static_assert(sizeof(HandedPacket) == 16);

struct WorkerChannel {
  explicit WorkerChannel(unsigned workers = 1) {
    for (unsigned from = 0; from < workers; ++from)
      handed.push_back(std::make_unique<LocalRing<HandedPacket>>(kHanded));
  }

  LocalRing<ControlPacket> down{256};  ///< main core to worker: packets to seal and send
  LocalRing<ControlPacket> up{256};    ///< worker to main core: punts
  static constexpr uint32_t kEvents = 1'024;
  LocalRing<InstallMessage> events{kEvents};  ///< worker to main core: link_state to circuit_damaged
  /// Someone takes what is punted (main: rw, worker: ro); lists of dead routes are the main core's own and always go.
  std::atomic<bool> takes_punts{true};
  std::atomic<Watch*> watch{nullptr};  ///< what a control plane asked to see (main: rw, worker: ro, once per turn)
  static constexpr uint32_t kHanded = 1'024;
  std::vector<std::unique_ptr<LocalRing<HandedPacket>>> handed;  ///< [worker it comes from]
  std::atomic<bool> asleep{false};  ///< worker: rw, other workers: ro; who hands a packet on must wake it
  int wake_worker = -1;
  int wake_main = -1;
};

}  // namespace sky::dataplane
