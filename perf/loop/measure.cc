#include "perf/loop/measure.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <limits>

namespace sky::perf {

namespace {

double quartile_distance(Samples samples) {
  std::ranges::sort(samples);
  const size_t n = samples.size();
  return samples[n - 1 - n / 4] - samples[n / 4];
}

struct StageSum {
  uint64_t packets = 0, clocks = 0;
};
using StageSums = std::array<StageSum, kStages>;

StageSums sums_of(const WorkerStats* worker) {
  StageSums sums{};
  for (size_t i = 0; worker != nullptr && i < kStages; ++i)
    sums[i] = {worker->stages[i].packets.get(), worker->stages[i].clocks.get()};
  return sums;
}

StageShares shares_between(const StageSums& before, const StageSums& after) {
  StageShares shares{};
  for (size_t i = 0; i < kStages; ++i) {
    const uint64_t packets = after[i].packets - before[i].packets;
    if (packets != 0)
      shares[i] = static_cast<double>(after[i].clocks - before[i].clocks) / static_cast<double>(packets);
  }
  return shares;
}

/// TSC clocks of a million additions that wait for each other.
uint64_t clocks_of_additions() {
  return clocks_of([] {
    uint64_t sum = 0;
    for (int i = 0; i < 100'000; ++i)
      asm volatile(
          "add $1, %0\nadd $1, %0\nadd $1, %0\nadd $1, %0\nadd $1, %0\n"
          "add $1, %0\nadd $1, %0\nadd $1, %0\nadd $1, %0\nadd $1, %0\n"
          : "+r"(sum));
  });
}

uint64_t switches_of(int whom) {
  rusage usage{};
  getrusage(whom, &usage);
  return static_cast<uint64_t>(usage.ru_nivcsw);
}

}  // namespace

double median(Samples samples) {
  const auto middle = samples.begin() + static_cast<ptrdiff_t>(samples.size() / 2);
  std::ranges::nth_element(samples, middle);
  return *middle;
}

double quantile(std::span<const double> sorted, double of) {
  return sorted[static_cast<size_t>(of * static_cast<double>(sorted.size() - 1))];
}

Disturbance disturbance() {
  Disturbance now;
  std::ifstream stat("/proc/stat");  // cpu user nice system idle iowait irq softirq steal ...
  stat.ignore(std::numeric_limits<std::streamsize>::max(), ' ');
  double ticks = 0;
  for (int column = 0; column < 8; ++column) stat >> ticks;
  now.stolen_ms = ticks * 1e3 / static_cast<double>(sysconf(_SC_CLK_TCK));
  now.switches = switches_of(RUSAGE_SELF);
  return now;
}

uint64_t thread_switches() {
  return switches_of(RUSAGE_THREAD);
}

double Outcome::ratio() const {
  if (unit == kPacketsPerSecond || unit == kRulesPerSecond) return value / limit;
  if (unit == kPackets) return (limit + 1) / (value + 1);  // both may be 0
  return limit / value;
}

double Outcome::per_second(const Clocks& clocks) const {
  if (unit == kClocksPerPacket) return clocks.tsc_hz / value;
  return unit == kPacketsPerSecond || unit == kRulesPerSecond ? value : 0;
}

void summarize(Outcome& outcome) {
  outcome.value = median(outcome.runs);
  outcome.spread = quartile_distance(outcome.runs);
  outcome.limit = median(outcome.limit_runs);
  outcome.limit_spread = quartile_distance(outcome.limit_runs);
}

Clocks calibrate() {
  using Clock = std::chrono::steady_clock;
  constexpr auto kSpan = std::chrono::milliseconds(50);
  const auto start = Clock::now();
  const uint64_t start_tsc = __rdtsc();
  uint64_t fewest = UINT64_MAX;
  while (Clock::now() - start < kSpan) fewest = std::min(fewest, clocks_of_additions());
  const std::chrono::duration<double> passed = Clock::now() - start;
  const double tsc_hz = static_cast<double>(__rdtsc() - start_tsc) / passed.count();
  return {.tsc_hz = tsc_hz, .core_hz = tsc_hz * 1e6 / static_cast<double>(fewest)};
}

Result<Outcome> measure(const Case& one, unsigned runs, const Progress& progress) {
  Outcome outcome{};
  outcome.name = one.name;
  outcome.unit = one.unit;
  outcome.limit_is = one.limit_is;
  if (one.whole) {
    if (auto done = one.whole(outcome, runs, progress); !done) return std::unexpected(done.error());
    return outcome;
  }
  std::vector<StageShares> stage_runs;
  for (unsigned run = 0; run <= runs; ++run) {
    Samples values, limits;
    const StageSums at_first = sums_of(one.worker);
    for (unsigned chunk = 0; chunk < one.chunks; ++chunk) {
      const size_t before = std::min(values.size(), limits.size());
      one.value(values);
      one.limit(limits);
      if (std::min(values.size(), limits.size()) == before) return fail("{}: found a run that lost packets", one.name);
    }
    if (run == 0) continue;
    stage_runs.push_back(shares_between(at_first, sums_of(one.worker)));
    outcome.runs.push_back(median(values));
    outcome.limit_runs.push_back(median(limits));
    progress(run);
  }
  for (size_t stage = 0; stage < kStages; ++stage) {
    Samples shares;
    for (const StageShares& each : stage_runs) shares.push_back(each[stage]);
    outcome.stages[stage] = median(shares);
  }
  if (one.limit_by) outcome.limit_is += ": " + one.limit_by();
  summarize(outcome);
  return outcome;
}

}  // namespace sky::perf
