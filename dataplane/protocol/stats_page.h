// The third memfd: counters, written by the dataplane, mapped read-only by others. Every word has one writer, who
// never waits; a reader may see a word before its neighbour, and takes two readings for a rate.
//
//   StatsHeader | WorkerStats[workers] | PortStats[workers][ports] | LinkStats[workers][links] |
//   MemberStats[workers][groups * kMaxMembers]
//
// What a port, link or member counted is the sum over the workers. A word that only its owner writes (up, rtt_ns, live,
// ...) is 0 in the rows of the others, so its sum is its value; the main core's words stand in worker 0's row.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "dataplane/protocol/counters.h"
#include "dataplane/protocol/frame.h"
#include "dataplane/protocol/install.h"
#include "dataplane/protocol/watch.h"

namespace sky {

inline constexpr uint64_t kStatsMagic = 0x31737461'7473'6b73;

/// A counter with one writer: add is a plain load and store, no locked instruction.
class StatsWord {
 public:
  void add(uint64_t n) { set(get() + n); }
  void set(uint64_t value) { value_.store(value, std::memory_order_relaxed); }
  uint64_t get() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> value_;
};
static_assert(sizeof(StatsWord) == 8);

struct StatsHeader {
  uint64_t magic;
  uint32_t abi_version;
  uint32_t counters;  ///< kCounters of the writer
  uint32_t drop_reasons;
  uint32_t workers;
  uint32_t ports;
  uint32_t links;
  uint32_t groups;
  uint32_t stages;  ///< kStages, 0 of one that times none
  uint64_t boot_id;
  StatsWord started_ns;    ///< CLOCK_MONOTONIC
  StatsWord heartbeat_ns;  ///< main core, last turn
  StatsWord attachments;   ///< control planes so far
  StatsWord batches;
  StatsWord batches_refused;
  StatsWord rules;    ///< standing now
  StatsWord buffers;  ///< packet buffers in all pools
  StatsWord buffers_free;
  StatsWord session_send_keys;  ///< keys that Datagrams began to be sealed with, of all sessions
};

/// Of one stage, in the turns that are timed: one of kTurnsPerTimed.
struct StageStats {
  StatsWord calls;    ///< bursts
  StatsWord packets;  ///< that came into it
  StatsWord clocks;   ///< of the TSC, with settling what became of them
};
inline constexpr unsigned kTurnsPerTimed = 17;  ///< a prime: what has a period of its own shall not fall into step
inline constexpr size_t kStages = static_cast<size_t>(Stage::count);

struct alignas(64) WorkerStats {
  StatsWord counters[kCounters];
  StatsWord drops[kDropReasons];
  StatsWord heartbeat_ns;
  StatsWord busy_ns;        ///< time in turns that found work
  StatsWord timer_stretch;  ///< times the configured intervals of liveness and probes; above 1: they took too long
  StageStats stages[kStages];
};

/// Of one of a port's queues.
struct QueueStats {
  StatsWord transmitted;
  StatsWord transmitted_bytes;
  StatsWord queued;  ///< gauge: frames that wait for room in the port
};

struct alignas(64) PortStats {
  StatsWord received;
  StatsWord received_bytes;
  StatsWord full;  ///< frames the port did not take
  StatsWord up;    ///< main core's
  QueueStats queues[kQueues];
};

struct alignas(64) LinkStats {
  StatsWord received;
  StatsWord received_bytes;  ///< carrier payload
  StatsWord transmitted;
  StatsWord transmitted_bytes;
  StatsWord bad_tags;
  StatsWord replays;
  StatsWord up;          ///< 1 when live
  StatsWord flaps;       ///< times it went down
  StatsWord rtt_ns;      ///< smoothed, from liveness
  StatsWord heard_ns;    ///< CLOCK_MONOTONIC of the last authentic frame
  StatsWord send_epoch;  ///< main core's
  StatsWord send_keys;   ///< main core's: keys that frames began to be sealed with
  StatsWord over_rate;   ///< frames beyond what is taken of the neighbour, dropped
  StatsWord demoted;     ///< packets from it beyond a rate or its realtime budget: they went on in the last queue
  StatsWord marked;      ///< packets to it that were marked as congested
};

/// The workers' words, but for the last one. `deaths` are those that probes found; those that a list of dead routes
/// told of are counted by the main core.
struct alignas(64) MemberStats {
  StatsWord packets;
  StatsWord bytes;
  StatsWord damaged;  ///< Datagrams that came by this circuit and did not open
  StatsWord rtt_ns;
  StatsWord deaths;
  StatsWord probes_sent;
  StatsWord probes_lost;
  StatsWord deaths_by_list;
};
static_assert(sizeof(MemberStats) == 64);

/// Where each array lies in a page of these sizes, and how many bytes of it are one worker's.
struct StatsLayout {
  size_t workers, ports, links, members, bytes;
  size_t ports_each, links_each, members_each;

  static constexpr StatsLayout of(uint32_t workers, uint32_t ports, uint32_t links, uint32_t groups) {
    StatsLayout at{};
    at.ports_each = sizeof(PortStats) * ports;
    at.links_each = sizeof(LinkStats) * links;
    at.members_each = sizeof(MemberStats) * groups * kMaxMembers;
    at.workers = (sizeof(StatsHeader) + 63) / 64 * 64;
    at.ports = at.workers + sizeof(WorkerStats) * workers;
    at.links = at.ports + at.ports_each * workers;
    at.members = at.links + at.links_each * workers;
    at.bytes = at.members + at.members_each * workers;
    return at;
  }
};

}  // namespace sky
