// One link: what a link index means. Its configuration is one immutable object behind a pointer; keys, lanes and
// liveness live beside it for as long as the link does.
#pragma once

#include <atomic>
#include <memory>
#include <vector>

#include "dataplane/base/ration.h"
#include "dataplane/crypto/key_ring.h"
#include "dataplane/crypto/key_slot.h"
#include "dataplane/protocol/frame.h"
#include "dataplane/protocol/install.h"
#include "dataplane/protocol/stats_page.h"
#include "dataplane/tables/links_up.h"
#include "dataplane/tables/liveness.h"
#include "dataplane/tables/rate_limit.h"

namespace sky::dataplane {

/// As put; replaced whole by one pointer.
struct LinkConfig {
  LinkMessage put;
  EthernetHeader ethernet;  ///< what every frame on this link starts with
  LivenessConfig liveness;
  bool lane_in_mac = false;  ///< the sender's lane is the last byte of its source MAC address
  RateLimit realtime{0, 1};  ///< of what the neighbour sends
  RateLimit all{0, 1};       ///< the same
  unsigned worker = 0;       ///< its owner: judges liveness, and sends what the control plane has to say
};

/// Signals, renewals, lists of dead routes and answers to the control plane: as many a second as that takes of one
/// link, and few enough at once that a neighbour leaves the ring to others.
inline constexpr Rate kLinkPunts{5'000, 256};

/// One worker's share of a link: the lane it seals on, and what it counts of what it receives.
struct LinkWorker {
  SealCounter send;
  FailedTags failed;
  Ration punts{kLinkPunts};           ///< what this neighbour may hand to the main core
  rte_meter_srtcm realtime{}, all{};  ///< for the limits of the configuration
};

struct Link {
  Link(LinkIndex own, LinksUp& all, unsigned count) : index(own), links_up(all), workers(count) {}

  const LinkIndex index;
  LinksUp& links_up;                                ///< its bit: owning worker: rw, others: ro
  std::atomic<const LinkConfig*> config = nullptr;  ///< main: rw, worker: ro
  SendKeys send;
  ReceiveKeys receive;
  std::vector<LinkWorker> workers;                               ///< [worker]: rw by that one
  std::array<std::atomic<StreamWindows<>*>, kMaxLanes> windows;  ///< [peer's lane]: rw by the worker that receives it
  Liveness liveness;                                             ///< owning worker: rw
  bool told_up = false;                  ///< owning worker: rw; what the main core was last told of `up`
  std::atomic<bool> peer_hears = false;  ///< owning worker: rw, main: ro
  std::atomic<uint8_t> worn = 0;         ///< owning worker: rw, main: ro; send slots that the peer wants replaced

  // Main core alone.
  std::unique_ptr<KeyRing> ring;

  ~Link() {
    delete config.load(std::memory_order_relaxed);
    for (auto& window : windows) delete window.load(std::memory_order_relaxed);
  }
  unsigned owner() const { return config.load(std::memory_order_acquire)->worker; }
  bool usable() const { return links_up.test(index); }
  /// Receive slots whose keys saw so many failed tags, as bits.
  uint8_t worn_keys(uint64_t failed_tags) const noexcept;
};

inline uint8_t Link::worn_keys(uint64_t failed_tags) const noexcept {
  uint8_t bits = 0;
  for (unsigned slot = 0; slot < kKeySlots; ++slot) {
    const KeySlot& key = receive.slots[slot];
    if (!key.live.load(std::memory_order_acquire)) continue;
    uint64_t failed = 0;
    for (const LinkWorker& worker : workers) failed += worker.failed.of(key);
    if (failed >= failed_tags) bits = static_cast<uint8_t>(bits | 1u << slot);
  }
  return bits;
}

}  // namespace sky::dataplane
