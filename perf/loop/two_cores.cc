// A worker whose frames another CPU writes, as a NIC or another process would: their lines come from its cache.
#include <rte_mbuf.h>

#include <algorithm>
#include <atomic>

#include "drivers/packet_pool.h"
#include "perf/loop/forward.h"
#include "perf/loop/macswap.h"
#include "perf/loop/other_core.h"

namespace sky::perf {

using namespace sky::dataplane;
using namespace sky::test;

namespace {

constexpr unsigned kChunks = 16;     // of each run
constexpr unsigned kFrames = 2048;   // of a chunk: as many buffers as go round a NIC's ring
constexpr unsigned kWaiting = 512;   // at most, as in a NIC's ring
constexpr unsigned kAway = 64;       // polls without a frame: the scheduler has the generator's core
constexpr unsigned kGone = 1 << 26;  // the same: what is missing was lost, seconds ago

class TwoCores {
 public:
  explicit TwoCores(const ForwardSpec& spec) : node_(config(spec)), forward_(spec, node_) {
    auto pool = drivers::make_pool("two-cores", {.buffers = 2 * kFrames, .frame_bytes = frame_bytes(spec)});
    if (!pool) throw std::runtime_error(pool.error().message);
    pool_ = *pool;
  }
  ~TwoCores() { rte_mempool_free(pool_); }

  Result<> verify() { return forward_.verify(); }
  Result<> measure(Outcome& outcome, unsigned runs, const Progress& progress);

 private:
  static uint32_t frame_bytes(const ForwardSpec& spec) {
    return static_cast<uint32_t>(std::ranges::max(spec.packet_bytes) + sizeof(EthernetHeader) + kLinkOverhead);
  }
  static NodeConfig config(const ForwardSpec& spec) {
    NodeConfig config = config_of(spec);
    config.ring_frames = 2 * kFrames;
    return config;
  }
  struct Seen {
    Samples clocks;               ///< a packet, from burst to burst
    double empty = 0, polls = 0;  ///< polls that found nothing, of all
  };
  /// Until all frames of a chunk went through `poll`, which says how many it took.
  template <typename Poll>
  Result<> chunk(Poll&& poll, Seen& seen);
  void generate();

  Node node_;
  Forward forward_;
  rte_mempool* pool_ = nullptr;
  std::vector<rte_mbuf*> frames_ = std::vector<rte_mbuf*>(kFrames);
  std::atomic<unsigned> wanted_ = 0, made_ = 0;  ///< chunks
  std::atomic<bool> stop_ = false;
};

void TwoCores::generate() {
  for (unsigned number = 1;; ++number) {
    while (wanted_ < number && !stop_) look_again();
    if (stop_) return;
    if (rte_pktmbuf_alloc_bulk(pool_, frames_.data(), kFrames) != 0)
      std::abort();  // all came home, and it is twice that
    const std::span<rte_mbuf* const> all(frames_);
    for (unsigned i = 0; i < kFrames; i += kBurst) forward_.make(all.subspan(i, kBurst));
    made_ = number;
    const unsigned room = 2 * kFrames - 1 - kWaiting;
    for (unsigned i = 0; i < kFrames; i += kBurst) {
      while (forward_.in_port().room() < room + kBurst) look_again();
      forward_.in_port().push(all.subspan(i, kBurst));
    }
  }
}

template <typename Poll>
Result<> TwoCores::chunk(Poll&& poll, Seen& seen) {
  const unsigned number = ++wanted_;
  while (made_ < number) look_again();
  uint64_t last = 0;
  for (unsigned taken = 0, empty = 0; taken < kFrames;) {
    const unsigned count = poll();
    if (count == 0) {
      if (++empty == kGone) break;
      continue;
    }
    const uint64_t now = __rdtsc();
    if (taken != 0 && empty < kAway) {
      seen.clocks.push_back(static_cast<double>(now - last) / count);
      seen.polls += empty + 1;
      seen.empty += empty;
    }
    last = now;
    taken += count;
    empty = 0;
  }
  const unsigned sent = forward_.out_port().discard();
  if (sent != kFrames) return fail("two cores: found {} of {} frames forwarded", sent, kFrames);
  return {};
}

Result<> TwoCores::measure(Outcome& outcome, unsigned runs, const Progress& progress) {
  const double tsc_hz = calibrate().tsc_hz;
  const auto forwarded = [this] {
    const unsigned before = forward_.out_port().sent();
    forward_.turn();
    return forward_.out_port().sent() - before;
  };
  const auto swapped = [this] { return unsigned{macswap(forward_.in_port().port(), forward_.out_port().port())}; };
  Result<> done;
  double empty = 0, polls = 0;
  OtherCore generator([this] { generate(); });
  for (unsigned run = 0; run <= runs && done; ++run) {
    Seen value, limit;
    for (unsigned i = 0; i < kChunks && done; ++i) {
      done = chunk(forwarded, value);
      if (done) done = chunk(swapped, limit);
    }
    if (run == 0 || !done) continue;
    if (value.clocks.empty() || limit.clocks.empty()) done = fail("two cores: found one of them away all the time");
    if (!done) break;
    outcome.runs.push_back(tsc_hz / median(value.clocks));
    outcome.limit_runs.push_back(tsc_hz / median(limit.clocks));
    empty += value.empty;
    polls += value.polls;
    progress(run);
  }
  stop_ = true;
  if (!done) return done;
  summarize(outcome);
  outcome.more = {{"empty_polls", empty / polls}};
  outcome.saturated = empty / polls < 0.01;
  return {};
}

}  // namespace

Result<Case> two_cores_case(const ForwardSpec& spec) {
  const auto cores = std::make_shared<TwoCores>(spec);
  if (auto verified = cores->verify(); !verified) return std::unexpected(verified.error());
  return Case{.name = spec.name,
              .unit = kPacketsPerSecond,
              .limit_is = "macswap there",
              .chunks = kChunks,
              .value = {},
              .limit = {},
              .whole = [cores](Outcome& outcome, unsigned runs, const Progress& progress) {
                return cores->measure(outcome, runs, progress);
              }};
}

}  // namespace sky::perf
