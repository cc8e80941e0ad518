// One link: what a link index means. Its configuration is one immutable object behind a pointer; keys, lanes and
// liveness live beside it for as long as the link does.
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>

#include "dataplane/base/huge_pool.h"
#include "dataplane/base/ration.h"
#include "dataplane/crypto/header_streams.h"
#include "dataplane/crypto/key_ring.h"
#include "dataplane/crypto/key_slot.h"
#include "dataplane/protocol/frame.h"
#include "dataplane/protocol/install.h"
#include "dataplane/protocol/stats_page.h"
#include "dataplane/tables/links_up.h"
#include "dataplane/tables/liveness.h"
#include "dataplane/tables/port_polls.h"
#include "dataplane/tables/rate_limit.h"

namespace sky::dataplane {

/// What a frame must keep to before anything else is asked: of the configuration, and changed with it.
struct Admission {
  PortIndex port;
  uint8_t least_kind;  ///< FrameKind
  bool limited;        ///< there is a rate for all
};

/// As put; replaced whole by one pointer. What every frame asks for stands in the first line.
struct alignas(64) LinkConfig : Pooled<LinkConfig> {
  LinkConfig(const LinkMessage& message, const MacAddress& own_mac, const PortPolling& polling, unsigned shares)
      : ethernet{message.peer_mac, own_mac, Be16(message.ether_type)},
        lane_in_mac(polling.lane_in_mac),
        put(message),
        liveness{.interval_ns = uint64_t{message.interval_us} * 1'000,
                 .hold_ns = uint64_t{message.hold_ms} * 1'000'000,
                 .multiplier = message.multiplier},
        realtime(message.realtime_kbit_s, shares),
        all(message.rate_kbit_s, shares),
        worker(polling.worker) {}

  Admission admission() const { return {put.port, put.least_kind, all.limits()}; }

  EthernetHeader ethernet;  ///< what every frame on this link starts with
  bool lane_in_mac;         ///< the sender's lane is the last byte of its source MAC address
  LinkMessage put;
  LivenessConfig liveness;
  RateLimit realtime;  ///< of what the neighbour sends
  RateLimit all;       ///< the same
  unsigned worker;     ///< its owner: judges liveness, and sends what the control plane has to say
};
static_assert(offsetof(LinkConfig, put) + offsetof(LinkMessage, lanes) < 64);

/// Signals, renewals, lists of dead routes and answers to the control plane: as many a second as that takes of one
/// link, and few enough at once that a neighbour leaves the ring to others.
inline constexpr Rate kLinkPunts{5'000, 256};

/// One worker's share of a link: the lane it seals on, and what it counts of what it receives.
struct alignas(64) LinkWorker : Pooled<LinkWorker> {
  SealCounter send;
  HeaderStreams streams;     ///< of what it seals next
  Ration punts{kLinkPunts};  ///< what this neighbour may hand to the main core
  FailedTags failed;
  rte_meter_srtcm realtime{}, all{};  ///< for the limits of the configuration
};

/// By its number.
struct Lane {
  std::unique_ptr<LinkWorker> worker;             ///< which seals on it: rw by that one
  std::atomic<LaneWindows<>*> windows = nullptr;  ///< of the peer's: rw by the worker that receives it
};

struct Link : Pooled<Link> {
  Link(LinkIndex own, LinksUp& all, unsigned workers) : index(own), links_up(all) {
    for (unsigned i = 0; i < workers; ++i) lanes[i].worker = std::make_unique<LinkWorker>();
  }

  ReceiveKeys receive;
  // From the end of `send` on: a line of what every frame asks for.
  [[no_unique_address]] SendKeys send;
  const LinkIndex index;
  std::atomic<Admission> admission{};    ///< main: rw, worker: ro
  bool told_up = false;                  ///< owning worker: rw; what the main core was last told of `up`
  std::atomic<bool> peer_hears = false;  ///< owning worker: rw, main: ro
  std::atomic<uint8_t> worn = 0;         ///< owning worker: rw, main: ro; send slots that the peer wants replaced
  std::atomic<const LinkConfig*> config = nullptr;  ///< main: rw, worker: ro
  std::array<Lane, kMaxLanes> lanes{};
  LinksUp& links_up;  ///< its bit: owning worker: rw, others: ro
  Liveness liveness;  ///< owning worker: rw

  // Main core alone.
  std::unique_ptr<KeyRing> ring;

  ~Link() {
    delete config.load(std::memory_order_relaxed);
    for (Lane& lane : lanes) delete lane.windows.load(std::memory_order_relaxed);
  }
  // What a frame will read of it, on its way into the cache: first the line that says where the rest lies. Inlined: gcc
  // drops calls of functions that do nothing else.
  [[gnu::always_inline]] void prefetch() const { __builtin_prefetch(&config); }
  [[gnu::always_inline]] void prefetch_receive(const LinkHeader& header) const;
  [[gnu::always_inline]] void prefetch_send(unsigned worker) const;

  unsigned owner() const { return config.load(std::memory_order_acquire)->worker; }
  bool usable() const { return links_up.test(index); }
  /// The last authentic frame, whoever it came to.
  uint64_t heard_ns() const noexcept;
  /// Receive slots whose keys saw so many failed tags, as bits.
  uint8_t worn_keys(uint64_t failed_tags) const noexcept;
};

static_assert(sizeof(Link) % 64 == 0 && alignof(Link) == 64);

inline void Link::prefetch_receive(const LinkHeader& header) const {
  const unsigned key = slot_index(header.epoch);
  const auto lane = static_cast<unsigned>(header.lane_counter.get() >> 56);
  __builtin_prefetch(&receive.slots[key].generation);
  const LaneWindows<>* its = lanes[lane & (kMaxLanes - 1)].windows.load(std::memory_order_relaxed);
  if (its != nullptr) __builtin_prefetch(&its->slots[key]);
}
inline void Link::prefetch_send(unsigned worker) const {
  __builtin_prefetch(config.load(std::memory_order_relaxed));
  __builtin_prefetch(lanes[worker].worker.get());
  __builtin_prefetch(&send.slots[send.current.load(std::memory_order_relaxed) & (kKeySlots - 1)].generation);
}

inline uint64_t Link::heard_ns() const noexcept {
  uint64_t last = 0;
  for (const Lane& lane : lanes) {
    const LaneWindows<>* its = lane.windows.load(std::memory_order_relaxed);
    if (its != nullptr) last = std::max(last, its->heard_ns());
  }
  return last;
}

inline uint8_t Link::worn_keys(uint64_t failed_tags) const noexcept {
  uint8_t bits = 0;
  for (unsigned slot = 0; slot < kKeySlots; ++slot) {
    const KeySlot& key = receive.slots[slot];
    if (!key.live.load(std::memory_order_acquire)) continue;
    uint64_t failed = 0;
    for (const Lane& lane : lanes) failed += lane.worker == nullptr ? 0 : lane.worker->failed.of(key);
    if (failed >= failed_tags) bits = static_cast<uint8_t>(bits | 1u << slot);
  }
  return bits;
}

}  // namespace sky::dataplane
