// What every stage gets beside its batch: one worker's share of the world. All of it belongs to that worker alone, but
// for the tables, which it reads. A stage is a free noexcept function over a batch; it writes verdicts, and settle acts
// on them.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "dataplane/batch.h"
#include "dataplane/crypto/aead.h"
#include "dataplane/stages/damage.h"
#include "dataplane/stages/handshake_rations.h"
#include "dataplane/stages/inner.h"
#include "dataplane/stages/stage_clock.h"
#include "dataplane/stages/timer_budget.h"
#include "dataplane/tables/tables.h"
#include "dataplane/worker_channel.h"
#include "drivers/port.h"
#include "drivers/tun.h"

namespace sky::dataplane {

/// Frames that wait for the end of the turn, per port and queue: handed to the port in strict order of queues. What it
/// does not take waits for the next turn.
struct PortOutput {
  static constexpr unsigned kFrames = 4 * kBurst;
  std::array<std::array<rte_mbuf*, kFrames>, kQueues> frames;
  std::array<uint16_t, kQueues> count{};
  std::array<uint16_t, kQueues> waiting{};  ///< of `count`: what the port left over last time
  bool refused = false;                     ///< it took less than all this turn: not asked again before its end

  /// There is nothing to hand over, nor to say of it.
  bool idle() const {
    unsigned any = 0;
    for (unsigned level = 0; level < kQueues; ++level) any |= count[level] | waiting[level];
    return any == 0;
  }
};

inline constexpr unsigned kMarkedFrom = kBurst;  ///< frames that a port left over: from here on packets are marked

inline constexpr unsigned kMaxHeld = 64;         ///< packets that wait for one group
inline constexpr unsigned kMaxHeldGroups = 64;   ///< groups that are waited for
inline constexpr unsigned kMaxHeldInAll = 1024;  ///< packets: a quarter of a port's buffers

/// Packets that wait for the first live member of a group (hold.h). By index and in the worker's own memory: the group
/// may be deleted meanwhile.
struct HeldPackets {
  GroupIndex group;
  unsigned count = 0;
  uint64_t since_ns;
  std::array<rte_mbuf*, kMaxHeld> packets;
};

/// Where a walk over all links, or all groups, stands (timers.h).
struct TimerWalk {
  uint32_t at = 0;       ///< whose turn it is
  uint64_t next_ns = 0;  ///< the first deadline of those before
  uint64_t due_ns = 0;   ///< when it goes on, or the next one begins
};

struct Context {
  Tables& tables;
  WorkerStats& stats;
  PortStats* port_stats;      ///< [PortIndex]
  LinkStats* link_stats;      ///< [LinkIndex]
  MemberStats* member_stats;  ///< [group * kMaxMembers + slot]
  AeadEngine& aead;
  WorkerChannel& channel;
  std::vector<WorkerChannel*> channels;    ///< [worker], its own among them
  std::vector<drivers::Port*> ports;       ///< [PortIndex]
  std::vector<Be16> ether_types;           ///< [PortIndex]: what this node's links on that port use
  drivers::Tun* tun;                       ///< nullptr on a node without
  unsigned number;                         ///< of this worker; its lane on every link
  uint64_t now_ns = 0;                     ///< read once per burst
  uint64_t (*clock)() noexcept = nullptr;  ///< what timers cost is read off it; not at all without one
  FlowKey flow_key{};
  bool many_links = false;     ///< more than a cache holds
  bool worked = false;         ///< this turn carried somebody's traffic
  bool timers_due = false;     ///< a packet changed what timers would find
  bool wake_main = false;      ///< this turn pushed into the channel
  Watch* watch = nullptr;      ///< read once per turn; nullptr: nobody looks
  PortIndex polled = kNoPort;  ///< while somebody looks: where the batch at hand came in
  uint32_t to_wake = 0;        ///< workers that this turn handed something to, as bits

  std::vector<HeldPackets> held;    ///< capacity kMaxHeldGroups
  std::vector<PortOutput> outputs;  ///< [PortIndex]
  HandshakeRations handshakes;      ///< unauthenticated handshake frames handed to the control plane
  TimerWalk link_walk{};
  TimerWalk group_walk{};
  TimerBudget timer_budget{};
  StageClock stage_clock{};
  DamageWatch damage;
  ControlPacket punt{};                 ///< scratch for the channel, up
  ControlPacket injected{};             ///< and down
  std::array<AeadOp, kBurst> ops;       ///< scratch of one AEAD pass
  std::array<HashOp, kBurst> hash_ops;  ///< the same of one pass of hashes
  std::array<Hashed, kBurst> hashed;
  std::array<Slot*, kBurst> op_slots;  ///< whose operation it is
  std::array<SessionAssociated, kBurst> op_associated;

  // This worker's rows of the counters.
  PortStats& stats_of(PortIndex port) const { return port_stats[to_underlying(port)]; }
  LinkStats& stats_of(LinkIndex link) const { return link_stats[to_underlying(link)]; }
  LinkStats& stats_of(const Link& link) const { return stats_of(link.index); }
  MemberStats& stats_of(const Group& group, unsigned slot) const {
    return member_stats[size_t{to_underlying(group.index)} * kMaxMembers + slot];
  }
  void count(Counter counter, uint64_t n = 1) { stats.counters[static_cast<size_t>(counter)].add(n); }
  void count(Drop reason, uint64_t n = 1) { stats.drops[static_cast<size_t>(reason)].add(n); }
};

/// Where the parts of a frame lie, from the first byte of the carrier payload.
inline LinkHeader& link_header(uint8_t* data) {
  return *reinterpret_cast<LinkHeader*>(data);
}
inline uint8_t* link_tag(uint8_t* data) {
  return data + sizeof(LinkHeader);
}
inline PacketHeader& packet_header(uint8_t* data) {
  return *reinterpret_cast<PacketHeader*>(data + kLinkOverhead);
}
/// How much behind the tag a frame of that kind seals.
inline uint32_t sealed_length(const Slot& slot, FrameKind kind) {
  return kind == FrameKind::header ? uint32_t{kHeaderSealed} : slot.length - uint32_t{kLinkOverhead};
}
inline uint8_t* packet_payload(uint8_t* data) {
  return data + kLinkOverhead + sizeof(PacketHeader);
}

}  // namespace sky::dataplane
