// How long a frame is in a router that is loaded to a share of its limit. Frames arrive by a schedule that waits for
// nobody, and their time counts from there, so what a slow turn does to those behind it is seen (no coordinated
// omission); arrivals are a Poisson process. They were sealed beforehand: on the schedule a frame is one pointer.
#include <fmt/format.h>
#include <rte_mbuf.h>

#include <algorithm>

#include "drivers/packet_pool.h"
#include "perf/loop/forward.h"
#include "perf/loop/macswap.h"

namespace sky::perf {

using namespace sky::dataplane;
using namespace sky::test;

namespace {

constexpr unsigned kFrames = 2048;  // of an episode at the limit: as many buffers as go round a NIC's ring
constexpr unsigned kEpisodes = 16;  // of a run at the limit
constexpr unsigned kTries = 8;      // of an episode in which the scheduler has the core
constexpr std::pair<const char*, double> kPercentiles[]{
    {"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}, {"p99.9", 0.999}, {"p99.99", 0.9999}};

class Latency {
 public:
  Latency();
  ~Latency() { rte_mempool_free(pool_); }

  Result<> verify() { return forward_.verify(); }
  Result<> measure(double share, Outcome& outcome, unsigned runs, const Progress& progress);

 private:
  static const ForwardSpec& spec() {
    static const ForwardSpec spec{.name = "", .kind = FrameKind::header, .packet_bytes = {64}};
    return spec;
  }
  static NodeConfig config() {
    NodeConfig config = config_of(spec());
    config.ring_frames = 2 * kFrames;
    return config;
  }
  void fill();
  /// So many arrivals, in clocks from the start, `gap` apart on average.
  void schedule(unsigned frames, double gap);
  /// All frames through `poll`, each when it arrives; the clocks from then until it left, in their order.
  template <typename Poll>
  Result<> play(Poll&& poll, Samples& latencies);
  /// The same of an episode in which nobody else had the core, if one of kTries is so.
  template <typename Poll>
  Result<> play_alone(Poll&& poll, unsigned frames, double gap, Samples& latencies);
  /// Clocks a packet where all of them wait.
  template <typename Poll>
  Result<double> limit(Poll&& poll);

  Node node_{config()};
  Forward forward_{spec(), node_};
  std::mt19937_64 random_{1};
  rte_mempool* pool_;
  std::vector<rte_mbuf*> frames_;
  unsigned again_ = 0, disturbed_ = 0;  ///< episodes that were played once more; that count though they should be
  std::vector<uint64_t> arrivals_;
};

Latency::Latency() {
  auto pool = drivers::make_pool("latency", {.buffers = 2 * kFrames, .frame_bytes = 256});
  if (!pool) throw std::runtime_error(pool.error().message);
  pool_ = *pool;
}

void Latency::fill() {
  frames_.resize(arrivals_.size());
  if (rte_pktmbuf_alloc_bulk(pool_, frames_.data(), static_cast<unsigned>(frames_.size())) != 0)
    throw std::runtime_error("the pool is empty");
  const std::span<rte_mbuf* const> all(frames_);
  for (size_t i = 0; i < all.size(); i += kBurst) forward_.make(all.subspan(i, kBurst));
}

void Latency::schedule(unsigned frames, double gap) {
  arrivals_.resize(frames);
  std::exponential_distribution<> gaps;
  double at = 0;
  for (uint64_t& arrival : arrivals_) arrival = static_cast<uint64_t>(at += gap * gaps(random_));
}

template <typename Poll>
Result<> Latency::play(Poll&& poll, Samples& latencies) {
  fill();
  const std::span<rte_mbuf* const> all(frames_);
  MemoryPort& out = forward_.out_port();
  const auto frames = static_cast<unsigned>(frames_.size());
  unsigned arrived = 0, left = 0;
  for (const uint64_t start = __rdtsc(); left < frames;) {
    const uint64_t now = __rdtsc() - start;
    const unsigned first = arrived;
    while (arrived < frames && arrivals_[arrived] <= now) ++arrived;
    if (arrived != first) forward_.in_port().push(all.subspan(first, arrived - first));
    poll();
    const uint64_t end = __rdtsc() - start;
    const unsigned sent = out.sent();
    if (sent == left && arrived == frames && forward_.in_port().idle()) break;
    for (; left < sent; ++left) latencies.push_back(static_cast<double>(end - arrivals_[left]));
  }
  const unsigned sent = left;
  out.discard();
  if (sent != frames) return fail("latency: found {} of {} frames forwarded", sent, frames);
  return {};
}

template <typename Poll>
Result<> Latency::play_alone(Poll&& poll, unsigned frames, double gap, Samples& latencies) {
  for (unsigned left = kTries; left > 0; --left) {
    schedule(frames, gap);
    Samples its;
    const uint64_t before = thread_switches();
    if (auto played = play(poll, its); !played) return played;
    const bool alone = thread_switches() == before;
    if (!alone && left > 1) {
      ++again_;
      continue;
    }
    disturbed_ += !alone;
    latencies.insert(latencies.end(), its.begin(), its.end());
    break;
  }
  return {};
}

template <typename Poll>
Result<double> Latency::limit(Poll&& poll) {
  Samples clocks;
  for (unsigned episode = 0; episode < kEpisodes; ++episode) {
    schedule(kFrames, 0);
    Samples latencies;
    if (auto played = play(poll, latencies); !played) return std::unexpected(played.error());
    for (size_t i = kBurst; i < latencies.size(); i += kBurst)
      clocks.push_back((latencies[i] - latencies[i - kBurst]) / kBurst);
  }
  return median(clocks);
}

void tell(Outcome& outcome, const std::string& prefix, Samples& latencies) {
  std::ranges::sort(latencies);
  for (const auto& [word, of] : kPercentiles) outcome.more.emplace_back(prefix + word, quantile(latencies, of));
  outcome.more.emplace_back(prefix + "longest", latencies.back());
}

Result<> Latency::measure(double share, Outcome& outcome, unsigned runs, const Progress& progress) {
  const double ns = 1e9 / calibrate().tsc_hz;
  const auto forward = [this] { forward_.turn(); };
  const auto swap = [this] { macswap(forward_.in_port().port(), forward_.out_port().port()); };
  const auto clocks = limit(forward);
  if (!clocks) return std::unexpected(clocks.error());
  // An episode takes as long at every load: what disturbs one in a thousand does so everywhere.
  const unsigned frames = static_cast<unsigned>(kFrames * share) / kBurst * kBurst;
  Samples all, all_limit;
  const auto add = [ns](Samples& to, Samples& from, Samples& of_runs) {
    for (double& latency : from) latency *= ns;
    to.insert(to.end(), from.begin(), from.end());
    std::ranges::sort(from);
    of_runs.push_back(quantile(from, 0.99));
  };
  for (unsigned run = 1; run <= runs; ++run) {
    Samples values, limits;
    for (unsigned episode = 0; episode < kEpisodes * kFrames / frames; ++episode) {
      if (auto played = play_alone(forward, frames, *clocks / share, values); !played) return played;
      if (auto played = play_alone(swap, frames, *clocks / share, limits); !played) return played;
    }
    add(all, values, outcome.runs);
    add(all_limit, limits, outcome.limit_runs);
    progress(run);
  }
  summarize(outcome);
  outcome.saturated = false;
  outcome.more = {{"rate", 1e9 / (*clocks * ns) * share}, {"again", again_}, {"disturbed", disturbed_}};
  tell(outcome, "", all);
  tell(outcome, "limit_", all_limit);
  return {};
}

}  // namespace

Result<Case> latency_case(unsigned percent) {
  const auto latency = std::make_shared<Latency>();
  if (auto verified = latency->verify(); !verified) return std::unexpected(verified.error());
  return Case{.name = fmt::format("latency/{}", percent),
              .unit = kNs,
              .limit_is = "macswap, same schedule",
              .chunks = kEpisodes,
              .value = {},
              .limit = {},
              .whole = [latency, percent](Outcome& outcome, unsigned runs, const Progress& progress) {
                return latency->measure(percent / 100.0, outcome, runs, progress);
              }};
}

}  // namespace sky::perf
