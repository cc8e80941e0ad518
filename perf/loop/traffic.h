// What a dataplane forwards while something else is measured: a worker on a core of its own takes a burst whenever one
// is due, at half the rate that it could.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>

#include "dataplane/tables/quiescence.h"
#include "perf/loop/measure.h"
#include "perf/loop/other_core.h"

namespace sky::perf {

class Traffic {
 public:
  /// A burst in, through the worker and out again: the clocks that the worker took; nothing when a packet was lost.
  using Burst = std::function<std::optional<uint64_t>()>;

  /// Finds out how long a burst takes, then starts.
  Traffic(dataplane::Quiescence& quiescence, Burst burst);
  ~Traffic();

  /// Nothing else is measured for so long: it finds out anew how long a burst takes, and goes on at half of that rate.
  void rest(std::chrono::nanoseconds time);
  /// Ends it. Whether all packets arrived, at half of the rate that was found; into `outcome` at what rate they did.
  Result<> stop(Outcome& outcome);
  /// Longest time in ns between two turns of the worker, since the last call.
  double longest_gap_ns() { return static_cast<double>(longest_gap_.exchange(0)) / clocks_.tsc_hz * 1e9; }

 private:
  void run();

  dataplane::Quiescence& quiescence_;
  Burst burst_;
  const Clocks clocks_ = calibrate();
  uint64_t burst_clocks_ = 0;  ///< as found last
  uint64_t bursts_ = 0, lost_ = 0;
  uint64_t found_clocks_ = 0, passed_ = 0;  ///< what the bursts take by what was found; all clocks
  std::atomic<uint64_t> longest_gap_ = 0;
  std::atomic<bool> started_ = false, rests_ = false, stop_ = false;
  std::unique_ptr<OtherCore> core_;
};

/// Value and limit take turns beside the traffic; each call is one run and returns its rate.
Result<> measure_beside(Traffic& traffic, const std::function<Result<double>()>& value,
                        const std::function<double()>& limit, Outcome& outcome, unsigned runs,
                        const Progress& progress);

/// CPU time of this thread: a run takes tens of milliseconds, so the scheduler will have had the core in between.
uint64_t cpu_ns();

}  // namespace sky::perf
