// Where a worker's clocks go, stage by stage. To read the clock ten times a burst would cost a small packet several of
// its clocks, so one turn of kTurnsPerTimed is timed and the others pay one branch a stage.
#pragma once

#include <rte_cycles.h>

#include "dataplane/protocol/stats_page.h"

namespace sky::dataplane {

class StageClock {
 public:
  void begin_turn() noexcept { timed_ = ++turn_ % kTurnsPerTimed == 0; }
  /// What comes next is a stage's.
  void start() noexcept {
    if (timed_) [[unlikely]]
      since_ = rte_rdtsc();
  }
  /// What passed since start() or the last lap was that stage's, over so many packets.
  void lap(WorkerStats& stats, Stage stage, unsigned packets) noexcept {
    if (!timed_) [[likely]]
      return;
    const uint64_t now = rte_rdtsc();
    StageStats& its = stats.stages[static_cast<size_t>(stage)];
    its.calls.add(packets != 0);
    its.packets.add(packets);
    its.clocks.add(now - since_);
    since_ = now;
  }

 private:
  unsigned turn_ = 0;
  uint64_t since_ = 0;
  bool timed_ = false;
};

}  // namespace sky::dataplane
