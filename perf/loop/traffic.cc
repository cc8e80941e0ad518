#include "perf/loop/traffic.h"

#include <algorithm>
#include <chrono>
#include <ctime>
#include <utility>

#include "dataplane/batch.h"

namespace sky::perf {

namespace {

constexpr unsigned kTrials = 2'000;   // bursts, to know what one takes
constexpr double kLeastShare = 0.45;  // of what the worker takes; half of it is wanted

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
  burst_clocks_ = static_cast<uint64_t>(median(std::exchange(trials, {})));
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
    ++bursts_;
    found_clocks_ += burst_clocks_;
    if (rests_ && trials.size() < kTrials) {
      trials.push_back(static_cast<double>(clocks.value_or(0)));
    } else if (!rests_ && !trials.empty()) {
      burst_clocks_ = static_cast<uint64_t>(median(std::exchange(trials, {})));
      last = __rdtsc();
    }
    due = std::max(due + 2 * burst_clocks_, now - std::min(now, slack));
  }
  passed_ = __rdtsc() - first;
  quiescence_.offline(0);
}

void Traffic::rest(std::chrono::nanoseconds time) {
  rests_ = true;
  std::this_thread::sleep_for(time);
  rests_ = false;
}

Result<> Traffic::stop(Outcome& outcome) {
  stop_ = true;
  core_.reset();
  const auto passed = static_cast<double>(passed_);
  outcome.more.emplace_back("traffic_packets_per_second",
                            static_cast<double>(bursts_ * dataplane::kBurst) / passed * clocks_.tsc_hz);
  const double share = static_cast<double>(found_clocks_) / passed;
  outcome.more.emplace_back("traffic_share", share);
  if (lost_ != 0) return fail("{}: found packets lost in {} of {} bursts", outcome.name, lost_, bursts_ + kTrials);
  if (share < kLeastShare)
    return fail("{}: found traffic at {:.2f} of what the worker takes, wanted half", outcome.name, share);
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
    traffic.rest(passed);  // who looks for as long finds as much of the machine's
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
