// The main core's turn between the control plane and the tables and workers: install ring drained into a batch,
// checked, applied, acked; dumps; control packets both ways; events and what is watched up. It never blocks and trusts
// nothing that it reads: full rings keep what they have, broken ones end the attachment, malformed packets are counted
// and dropped.
//
// When the control plane goes, an open batch is discarded and its keys wiped, and everything else stays as it is: the
// tables stand, workers forward. Between two control planes events are dropped (the next one asks with dumps), and
// workers are told not to punt, as they are while a control plane does not keep up; they count that. What the main
// core itself must hear of (links, lists of dead routes) goes to the hooks whether anyone is attached or not.
// Main core only. A turn takes at most kMessagesPerTurn messages from the install ring, except that a committed batch
// is applied whole, and at most kPacketsPerTurn packets and kEventsPerTurn events from each worker. DPDK-free. Source:
// docs/protocol.md, "Contract".
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "dataplane/agent/batch.h"
#include "dataplane/agent/check.h"
#include "dataplane/agent/event_backlog.h"
#include "dataplane/agent/references.h"
#include "dataplane/agent/segment.h"
#include "dataplane/agent/watcher.h"
#include "dataplane/tables/interface.h"
#include "dataplane/tables/stats.h"
#include "dataplane/worker_channel.h"

namespace sky::dataplane {

class Agent {
 public:
  static constexpr unsigned kMessagesPerTurn = 16'384;
  static constexpr unsigned kRowsPerTurn = 4'096;
  static constexpr unsigned kPacketsPerTurn = 256;   ///< a worker's ring once
  static constexpr unsigned kEventsPerTurn = 1'024;  ///< the same
  static constexpr uint64_t kForeverNs = UINT64_MAX;

  struct Hooks {
    std::function<void(const LinkStateEvent&)> link_state;
    std::function<void(const ControlPacket&)> dead_routes;
    Watcher::Retire retire;
  };

  /// All of these outlive the agent; `channels` by worker. `stats` is the page that `endpoint` hands over.
  Agent(Endpoint& endpoint, uint64_t boot_id, Stats stats, TableView& view, Applier& applier, const Dumper& dumper,
        std::span<WorkerChannel* const> channels, Hooks hooks);

  /// Between the tables' begin_turn and end_turn.
  void turn(uint64_t now_ns);
  /// Events of the main core's own, after the tables' end_turn; the vector is left empty. Then the packets that the
  /// turn took from the workers: what is told of a chain comes before what came under it.
  void report(std::vector<InstallMessage>& events);
  /// Hands a packet to its link's worker, to be sealed and sent; false while that one's ring is full.
  bool lower(const ControlPacket& packet);
  /// How long the main core may sleep as far as this agent knows of work; kForeverNs until a descriptor wakes it.
  uint64_t patience_ns() const { return patience_ns_; }

 private:
  struct Dump {
    Table table;
    uint32_t from;
    uint32_t left;
    uint32_t rows;
  };

  void attached();
  void detached();

  void take_installs();
  void take(const InstallMessage& message);
  void begin(const BeginMessage& message);
  void commit(const CommitMessage& message);
  std::optional<Refusal> settle();
  void ack(InstallError error, uint32_t index, uint64_t generation);
  void continue_dump();

  void take_events();
  void tell(const InstallMessage& event);
  bool push_event(const InstallMessage& event);
  void push_late_events();
  void take_packets();
  void lift_packets();
  void take_punts(bool taken);
  void lower_packets();
  bool is_well_formed(const ControlPacket& packet) const;
  void ring_doorbells();
  void watch(const WatchMessage& message);
  void lift_records();
  void wake_within(uint64_t ns) { patience_ns_ = std::min(patience_ns_, ns); }

  Endpoint& endpoint_;
  const uint64_t boot_id_;
  Stats stats_;
  TableView& view_;
  Applier& applier_;
  const Dumper& dumper_;
  std::span<WorkerChannel* const> channels_;
  Hooks hooks_;
  References references_;
  Watcher watcher_;

  // The attachment's.
  InstallBatch batch_;
  bool open_ = false;                         ///< between begin and commit
  InstallError spoilt_ = InstallError::none;  ///< why the open batch will be refused whatever it holds
  uint64_t generation_ = 0;                   ///< of the newest batch
  bool settling_ = false;                     ///< applied, its keys not all in place yet
  std::optional<Dump> dump_;
  std::optional<ControlPacket> stalled_;  ///< found its worker's ring full
  EventBacklog late_events_;              ///< found the control plane's ring full
  std::deque<ControlPacket> lifted_;      ///< wait for events and room: at most what workers had under way
  uint64_t malformed_ = 0;
  bool pushed_up_ = false;
  std::vector<bool> pushed_down_;  ///< [worker]

  uint64_t patience_ns_ = 0;
};

}  // namespace sky::dataplane
