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
#include "dataplane/tables/liveness.h"

namespace sky::dataplane {

/// As put; replaced whole by one pointer.
struct LinkConfig {
  LinkMessage put;
  EthernetHeader ethernet;  ///< what every frame on this link starts with
  LivenessConfig liveness;
};

/// One worker's share of a link: the lane it seals on and the window of the lane it receives.
struct LinkLane {
  SealCounter send;
  StreamWindows<> receive;
};

/// Signals, renewals, lists of dead routes and answers to the control plane: as many a second as that takes of one
/// link, and few enough at once that a neighbour leaves the ring to others.
inline constexpr Rate kLinkPunts{5'000, 256};

struct Link {
  explicit Link(unsigned workers) : lanes(workers) {}

  LinkIndex index{};
  std::atomic<const LinkConfig*> config = nullptr;  ///< main: rw, worker: ro
  SendKeys send;
  ReceiveKeys receive;
  std::vector<LinkLane> lanes;           ///< [lane]: rw by the worker of that number
  Liveness liveness;                     ///< owning worker: rw
  Ration punts{kLinkPunts};              ///< owning worker: rw; what this neighbour may hand to the main core
  bool told_up = false;                  ///< owning worker: rw; what the main core was last told of `up`
  LinkStats* stats = nullptr;            ///< owning worker: rw
  std::atomic<bool> up = false;          ///< owning worker: rw, others: ro; the look before a next hop is taken
  std::atomic<bool> peer_hears = false;  ///< owning worker: rw, main: ro

  // Main core alone.
  std::unique_ptr<KeyRing> ring;

  ~Link() { delete config.load(std::memory_order_relaxed); }
  bool usable() const { return up.load(std::memory_order_relaxed); }
};

}  // namespace sky::dataplane
