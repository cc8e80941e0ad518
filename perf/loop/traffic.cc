#include "perf/loop/traffic.h"

#include <algorithm>
#include <chrono>
#include <ctime>

#include "dataplane/batch.h"

namespace sky::perf {

namespace {

constexpr unsigned kTrials = 2'000;    // bursts, to know what one takes
constexpr double kLeastShare = 0.45;   // of its time that the worker is busy; half of it is wanted
constexpr uint64_t kMostOfMedian = 4;  // counts of a burst: in what takes longer the scheduler had the core

}  // namespace

Traffic::Traffic(dataplane::Quiescence& quiescence, Burst burst) : quiescence_(quiescence), burst_(std::move(burst)) {
  core_ = std::make_unique<OtherCore>([this] { run(); });
  while (!started_) std::this_thread::yield();
}

Traffic::~Traffic() {
  stop_ = true;
}

void Traffic::run() {
  quiescence_.online(0);
  Samples trials;
  for (unsigned i = 0; i < kTrials; ++i) {
    const auto clocks = burst_();
    lost_ += !clocks;
    trials.push_back(static_cast<double>(clocks.value_or(0)));
    quiescence_.quiescent(0);
  }
  burst_clocks_ = static_cast<uint64_t>(median(trials));
  started_ = true;
  const auto slack = static_cast<uint64_t>(clocks_.tsc_hz / 100);  // more than so late is not made up for
  const uint64_t first = __rdtsc();
  uint64_t last = first, due = first;
  while (!stop_) {
    quiescence_.quiescent(0);
    const uint64_t now = __rdtsc();
    if (now < due) continue;
    longest_gap_ = std::max(longest_gap_.load(), now - last);
    last = now;
    const auto clocks = burst_();
    lost_ += !clocks;
    busy_ += std::min(clocks.value_or(0), kMostOfMedian * burst_clocks_);
    ++bursts_;
    due = std::max(due + 2 * burst_clocks_, now - std::min(now, slack));
  }
  passed_ = __rdtsc() - first;
  quiescence_.offline(0);
}

Result<> Traffic::stop(Outcome& outcome) {
  stop_ = true;
  core_.reset();
  const auto per_second = [this](uint64_t bursts, uint64_t clocks) {
    return static_cast<double>(bursts * dataplane::kBurst) / static_cast<double>(clocks) * clocks_.tsc_hz;
  };
  outcome.more.emplace_back("traffic_packets_per_second", per_second(bursts_, passed_));
  outcome.more.emplace_back("traffic_alone_per_second", per_second(1, burst_clocks_));
  const double share = static_cast<double>(busy_) / static_cast<double>(passed_);
  outcome.more.emplace_back("traffic_share", share);
  if (lost_ != 0) return fail("{}: found packets lost in {} of {} bursts", outcome.name, lost_, bursts_ + kTrials);
  if (share < kLeastShare)
    return fail("{}: found the worker busy with traffic for {:.2f} of its time, wanted half", outcome.name, share);
  return {};
}

Result<> measure_beside(Traffic& traffic, const std::function<Result<double>()>& value,
                        const std::function<double()>& limit, Outcome& outcome, unsigned runs,
                        const Progress& progress) {
  using Clock = std::chrono::steady_clock;
  Samples gaps, quiet_gaps;
  for (unsigned run = 0; run <= runs; ++run) {
    traffic.longest_gap_ns();
    const auto start = Clock::now();
    const auto rate = value();
    const auto passed = Clock::now() - start;
    const double gap = traffic.longest_gap_ns();
    if (!rate) return std::unexpected(rate.error());
    const double most = limit();
    if (run == 0) continue;
    traffic.longest_gap_ns();
    std::this_thread::sleep_for(passed);  // who looks for as long finds as much of the machine's
    outcome.runs.push_back(*rate);
    outcome.limit_runs.push_back(most);
    gaps.push_back(gap);
    quiet_gaps.push_back(traffic.longest_gap_ns());
    progress(run);
  }
  summarize(outcome);
  outcome.saturated = false;
  outcome.more.emplace_back("gap_ns", median(gaps));
  outcome.more.emplace_back("gap_ns_without", median(quiet_gaps));
  return traffic.stop(outcome);
}

uint64_t cpu_ns() {
  timespec time;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<uint64_t>(time.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(time.tv_nsec);
}

}  // namespace sky::perf
