// How every case is measured. One sample is the clocks of one chunk of packets; a run is the median of its chunks, so
// that a chunk in which the scheduler took the core away is not seen; a case is the median of its runs. Case and limit
// take turns chunk by chunk (A B A B ...), so that what disturbs one disturbs the other. Clocks are those of the TSC.
#pragma once

#include <x86intrin.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace sky::perf {

/// How a CPU and its TSC run.
struct Clocks {
  double tsc_hz;   ///< against CLOCK_MONOTONIC
  double core_hz;  ///< additions that wait for each other, one a clock
};
Clocks calibrate();

/// Clocks that `work` takes; the fences keep its instructions inside.
template <typename Work>
uint64_t clocks_of(Work&& work) {
  unsigned core;
  _mm_lfence();
  const uint64_t start = __rdtsc();
  _mm_lfence();
  work();
  const uint64_t end = __rdtscp(&core);
  _mm_lfence();
  return end - start;
}

struct Plan {
  unsigned runs = 11;
  unsigned chunks = 16;  ///< of each run
};

/// A case beside its limit; each call does one chunk and returns its clocks per packet (or rule).
struct Case {
  std::string name;
  std::string unit;
  std::string limit_is;  ///< what the limit does, in a few words
  std::function<double()> value;
  std::function<double()> limit;
};

struct Outcome {
  std::string name, unit, limit_is;
  double value;         ///< median of `runs`
  double spread;        ///< of `runs`: slowest quartile minus fastest
  double limit;         ///< median of `limit_runs`
  double limit_spread;  ///< the same
  std::vector<double> runs, limit_runs;

  double ratio() const { return limit / value; }
};

double median(std::vector<double> samples);
/// Warms up for one run, then measures; `progress` is called after each run.
Outcome measure(const Case& one, const Plan& plan, const std::function<void(unsigned run)>& progress);

}  // namespace sky::perf
