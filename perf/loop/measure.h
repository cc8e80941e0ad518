// How every case is measured. A sample is the clocks of one burst, short enough that the scheduler mostly lets it be; a
// run is the median of its samples, a case the median of its runs. Case and limit take turns chunk by chunk
// (A B A B ...), so that what disturbs one disturbs the other. Clocks are those of the TSC.
#pragma once

#include <x86intrin.h>

#include <array>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "dataplane/base/result.h"
#include "dataplane/protocol/stats_page.h"

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

/// The same for each of `count`.
template <typename Work>
double clocks_each(unsigned count, Work&& work) {
  return static_cast<double>(clocks_of(work)) / count;
}

/// What one packet (or message) took, one for each burst.
using Samples = std::vector<double>;

inline constexpr const char* kClocksPerPacket = "clocks/packet";  ///< of the TSC
inline constexpr const char* kPacketsPerSecond = "packets/s";
inline constexpr const char* kRulesPerSecond = "rules/s";
inline constexpr const char* kPackets = "packets";  ///< that something went wrong with
inline constexpr const char* kNs = "ns";

inline constexpr const char* kMacswap = "macswap";  ///< the whole limit of a case without crypto

/// Called after each run.
using Progress = std::function<void(unsigned run)>;

/// What the machine took away meanwhile: with it a reader tells the machine's share of a figure from the worker's.
struct Disturbance {
  double stolen_ms = 0;   ///< by the hypervisor, of all CPUs; the kernel counts it in hundredths of a second
  uint64_t switches = 0;  ///< times that a thread of this process had to leave its CPU
};
/// Since the machine and the process started.
Disturbance disturbance();
/// Of the calling thread alone.
uint64_t thread_switches();
inline Disturbance operator-(const Disturbance& left, const Disturbance& right) {
  return {left.stolen_ms - right.stolen_ms, left.switches - right.switches};
}

struct Outcome;

/// A case beside its limit; each call does one chunk and adds its samples, or none when something was lost.
struct Case {
  std::string name;
  std::string unit;
  std::string limit_is;  ///< what the limit does, in a few words
  unsigned chunks;       ///< of each run, and as many of its limit
  std::function<void(Samples&)> value;
  std::function<void(Samples&)> limit;
  const WorkerStats* worker = nullptr;  ///< whose stages took the value's clocks
  /// What is known of the limit once it ran, in a word or two.
  std::function<std::string()> limit_by{};
  /// Instead of `chunks`, `value` and `limit`: what is no median of bursts says itself what it found.
  std::function<Result<>(Outcome&, unsigned runs, const Progress&)> whole{};
};

/// Clocks a packet of each stage.
using StageShares = std::array<double, kStages>;

struct Outcome {
  std::string name, unit, limit_is;
  double value;         ///< median of `runs`
  double spread;        ///< of `runs`: slowest quartile minus fastest
  double limit;         ///< median of `limit_runs`
  double limit_spread;  ///< the same
  Samples runs, limit_runs;
  StageShares stages{};  ///< medians of the runs' turns that were timed; 0 where nothing came
  std::vector<std::pair<std::string, double>> more{};  ///< what else the case has to say
  bool saturated = true;                               ///< the worker never waited for packets
  Disturbance disturbed{};                             ///< while it was measured

  /// How near the limit: 1 is at it, above 1 beyond it.
  double ratio() const;
  /// 0 of what has no rate.
  double per_second(const Clocks& clocks) const;
};

/// Value, limit and their spreads: medians of the runs, quartile distances.
void summarize(Outcome& outcome);
double median(Samples samples);
double quantile(std::span<const double> sorted, double of);

/// Warms up for one run, then measures. Fails when a chunk gave no samples.
Result<Outcome> measure(const Case& one, unsigned runs, const Progress& progress);

}  // namespace sky::perf
