// How long a worker may not look at its ports: the longest of its turns, at full load, while the main core puts and
// deletes rules as fast as it can. Beside it the longest gap of a loop on the same core that only reads the clock: what
// the machine itself is away.
#include <fmt/format.h>
#include <rte_mbuf.h>

#include <algorithm>
#include <atomic>
#include <chrono>

#include "perf/loop/forward.h"
#include "perf/loop/other_core.h"
#include "perf/loop/route_ids.h"
#include "tests/support/contract.h"

namespace sky::perf {

using namespace sky::dataplane;
using namespace sky::test;

namespace {

constexpr uint32_t kRules = 50'000;    // of a batch
constexpr double kLongGapNs = 20'000;  // of which we ask whether the scheduler had the core
constexpr uint64_t kPingNs = 200'000'000;

uint64_t monotonic_ns() {
  return static_cast<uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count());
}

/// The longest gap, and the longest in which this thread kept its core.
class Gaps {
 public:
  explicit Gaps(double ns_per_clock) : ns_(ns_per_clock) {}
  /// What the scheduler did so far is no part of the next gap.
  void begin() { switches_ = thread_switches(); }
  void saw(uint64_t clocks) {
    ++count_;
    const double ns = static_cast<double>(clocks) * ns_;
    if (ns <= longest_own_) return;
    if (ns > kLongGapNs) {
      const uint64_t before = std::exchange(switches_, thread_switches());
      longest_ = std::max(longest_, ns);
      if (switches_ != before) return;
    }
    longest_own_ = ns;
  }
  double longest() const { return std::max(longest_, longest_own_); }
  double longest_own() const { return longest_own_; }
  uint64_t count() const { return count_; }

 private:
  double ns_;
  double longest_ = 0, longest_own_ = 0;
  uint64_t count_ = 0, switches_ = thread_switches();
};

class LoopGap {
 public:
  explicit LoopGap(double seconds) : seconds_(seconds) {}
  Result<> verify() { return forward_.verify(); }
  Result<> measure(Outcome& outcome, unsigned runs, const Progress& progress);

 private:
  static const ForwardSpec& spec() {
    static const ForwardSpec spec{.name = "", .kind = FrameKind::header, .packet_bytes = {64}};
    return spec;
  }
  static NodeConfig config() {
    NodeConfig config = config_of(spec());
    config.start_ns = monotonic_ns();
    return config;
  }
  void install();
  void feed();
  Gaps work(double seconds, double ns_per_clock);
  static Gaps idle(double seconds, double ns_per_clock);

  const double seconds_;  ///< of all runs
  Node node_{config()};
  Forward forward_{spec(), node_};
  uint64_t next_ping_ns_ = 0;
  std::atomic<bool> stop_ = false, refused_ = false;
  std::atomic<uint64_t> batches_ = 0;
};

/// On the other core, until it is to stop.
void LoopGap::install() {
  Contract contract(node_, monotonic_ns);
  contract.attach();
  Contract::Batches puts(1), deletes(1);
  for (const uint32_t route :
       route_ids(RouteIds::drawn_from(spec().circuits, kNode.capacities.rules), kRules, kNode.capacities.rules)) {
    puts[0].push_back(message(forward_put(route, 1, 2, 1)));
    deletes[0].push_back(message(delete_of(Verb::delete_rule, route)));
  }
  while (!stop_ && !refused_) {
    refused_ = !contract.install(puts) || !contract.install(deletes);
    contract.wait_for_grace();
    batches_ += 2;
  }
}

void LoopGap::feed() {
  std::array<rte_mbuf*, kBurst> frames;
  discard_all(node_);
  if (monotonic_ns() >= next_ping_ns_) {
    next_ping_ns_ = monotonic_ns() + kPingNs;
    return forward_.ping();
  }
  if (rte_pktmbuf_alloc_bulk(forward_.in_port().pool(), frames.data(), kBurst) != 0) return;
  forward_.make(frames);
  forward_.in_port().push(frames);
}

Gaps LoopGap::work(double seconds, double ns_per_clock) {
  Gaps gaps(ns_per_clock);
  const uint64_t end_ns = monotonic_ns() + static_cast<uint64_t>(seconds * 1e9);
  node_.quiescence().online(0);
  for (uint64_t now_ns = 0; now_ns < end_ns;) {
    feed();
    gaps.begin();
    const uint64_t start = __rdtsc();
    now_ns = monotonic_ns();
    forward_.worker().turn(now_ns);
    node_.quiescence().quiescent(0);
    gaps.saw(__rdtsc() - start);
  }
  node_.quiescence().offline(0);
  discard_all(node_);  // a port's buffers must not lie in another's ring in the end
  return gaps;
}

Gaps LoopGap::idle(double seconds, double ns_per_clock) {
  Gaps gaps(ns_per_clock);
  const auto clocks = static_cast<uint64_t>(seconds * 1e9 / ns_per_clock);
  const uint64_t first = __rdtsc();
  for (uint64_t last = first; last - first < clocks;) {
    const uint64_t now = __rdtsc();
    gaps.saw(now - last);
    last = now;
  }
  return gaps;
}

Result<> LoopGap::measure(Outcome& outcome, unsigned runs, const Progress& progress) {
  const double ns = 1e9 / calibrate().tsc_hz;
  const double seconds = seconds_ / runs;
  const Change before = node_.total();
  double own = 0, limit_own = 0, turns = 0;
  {
    OtherCore main_core([this] { install(); });
    for (unsigned run = 1; run <= runs; ++run) {
      const Gaps gaps = work(seconds, ns);
      const Gaps limit = idle(seconds, ns);
      outcome.runs.push_back(gaps.longest());
      outcome.limit_runs.push_back(limit.longest());
      own = std::max(own, gaps.longest_own());
      limit_own = std::max(limit_own, limit.longest_own());
      turns += static_cast<double>(gaps.count());
      progress(run);
    }
    stop_ = true;
  }
  const Change change = node_.total() - before;
  if (refused_ || batches_ == 0) return fail("loop-gap: found {} batches installed, wanted all", batches_.load());
  if (change.drops() != 0) return fail("loop-gap: found {} packets dropped", change.drops());
  summarize(outcome);
  outcome.value = std::ranges::max(outcome.runs);
  outcome.limit = std::ranges::max(outcome.limit_runs);
  outcome.more = {{"own", own},     {"limit_own", limit_own},          {"seconds", seconds_},
                  {"turns", turns}, {"forwarded", change.transmitted}, {"rules", batches_ * kRules}};
  return {};
}

}  // namespace

Result<Case> loop_gap_case(double seconds) {
  const auto gap = std::make_shared<LoopGap>(seconds);
  if (auto verified = gap->verify(); !verified) return std::unexpected(verified.error());
  return Case{.name = "loop-gap",
              .unit = kNs,
              .limit_is = "reading the clock",
              .chunks = 1,
              .value = {},
              .limit = {},
              .whole = [gap](Outcome& outcome, unsigned runs, const Progress& progress) {
                return gap->measure(outcome, runs, progress);
              }};
}

}  // namespace sky::perf
