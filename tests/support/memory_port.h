// A port without a wire: frames are put into one ring and taken out of another, through DPDK's ring driver and the
// project's own Port. start_eal_once() comes first, once per process: no root, no hugepages, no PCI.
#pragma once

#include <rte_ring.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "drivers/eal.h"
#include "drivers/port.h"
#include "tests/support/bytes.h"

namespace sky::test {

/// What DPDK takes of memory.
inline constexpr uint64_t kEalBytes = 512 << 20;
/// Throws std::runtime_error when DPDK does not start. What the first call wants is what all get.
void start_eal_once(bool hugepages = false, uint64_t bytes = kEalBytes);
/// The same with workers' cores and devices; its `scratch` is not asked.
void start_eal_once(drivers::EalConfig config);

class MemoryPort {
 public:
  /// `ring_frames` (a power of two) - 1 frames fit each way.
  MemoryPort(const std::string& name, uint16_t mtu, unsigned ring_frames, unsigned workers = 1);
  ~MemoryPort();
  MemoryPort(const MemoryPort&) = delete;
  MemoryPort& operator=(const MemoryPort&) = delete;

  /// Puts a frame where the worker will receive it; in buffers of at most `segment` bytes.
  void push(const Bytes& frame, size_t segment = SIZE_MAX);
  /// The same with buffers of its pool that hold whole frames.
  void push(std::span<rte_mbuf* const> frames);
  /// The next frame that the worker sent.
  std::optional<Bytes> pop();
  std::vector<Bytes> pop_all();
  /// The same as the buffer it stands in, now the caller's; nullptr when there is none.
  rte_mbuf* take();
  /// What the worker sent is gone; returns how many frames.
  unsigned discard();
  unsigned room() const { return rte_ring_free_count(toward_node_); }
  /// No frame waits for the worker.
  bool idle() const { return rte_ring_empty(toward_node_) != 0; }
  /// Frames that the worker sent and nobody took yet.
  unsigned sent() const { return rte_ring_count(from_node_); }

  drivers::Port& port() { return *port_; }
  rte_mempool* pool() { return port_->pool(); }
  unsigned buffers_free() { return rte_mempool_avail_count(pool()); }
  unsigned buffers() { return pool()->size; }

  /// Under AddressSanitizer the bytes behind each pushed frame are poisoned until unpoison(). Only for turns in which
  /// no packet starts in the node: those would write into buffers that came back.
  bool poison = false;
  void unpoison();

 private:
  rte_mbuf* fill(std::span<const uint8_t> bytes);

  rte_ring* toward_node_;
  rte_ring* from_node_;
  std::unique_ptr<drivers::Port> port_;
  std::vector<rte_mbuf*> poisoned_;
};

}  // namespace sky::test
