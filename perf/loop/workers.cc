// Workers that feed themselves, a CPU each, on ports, links and lanes of their own.
#include <fmt/format.h>

#include <algorithm>
#include <atomic>

#include "perf/loop/forward.h"
#include "perf/loop/other_core.h"
#include "perf/loop/route_ids.h"

namespace sky::perf {

using namespace sky::dataplane;
using namespace sky::test;

namespace {

constexpr unsigned kChunks = 16;  // of each run

NodeConfig config_for(const ForwardSpec& spec, unsigned workers) {
  NodeConfig config = config_of(spec);
  config.workers = workers;
  config.ports = config.capacities.ports = 2 * workers;
  config.capacities.rules = std::max(config.capacities.rules, 1u << 20);
  return config;
}

class Workers {
 public:
  explicit Workers(unsigned count) : node_(config_for(kSpec, count)) {
    for (unsigned worker = 0; worker < count; ++worker) {
      const Lane lane{.worker = worker,
                      .in_port = worker,  // port p is worker p % count's
                      .out_port = count + worker,
                      .first_link = static_cast<uint16_t>(1 + worker * kSpec.links),
                      .first_rule = worker * RouteIds::drawn_from(kSpec.circuits, kNode.capacities.rules)};
      forwards_.push_back(std::make_unique<Forward>(kSpec, node_, lane));
    }
  }

  Result<> verify() {
    for (const auto& each : forwards_) {
      if (auto verified = each->verify(); !verified) return verified;
    }
    return {};
  }
  Result<> measure(Outcome& outcome, unsigned runs, const Progress& progress);

 private:
  /// Packets a second of all, at once.
  double together(double tsc_hz);
  /// Of the first one, the other core quiet; of the limit on it.
  double alone(double tsc_hz, void (Forward::*what)(Samples&));

  inline static const ForwardSpec kSpec{.name = "", .kind = FrameKind::header, .packet_bytes = {64}};
  Node node_;
  std::vector<std::unique_ptr<Forward>> forwards_;
};

double Workers::alone(double tsc_hz, void (Forward::*what)(Samples&)) {
  Samples samples;
  for (unsigned chunk = 0; chunk < kChunks; ++chunk) (*forwards_[0].*what)(samples);
  return samples.empty() ? 0 : tsc_hz / median(samples);
}

double Workers::together(double tsc_hz) {
  std::atomic<unsigned> begun = 0, done = 0;
  const auto count = static_cast<unsigned>(forwards_.size());
  std::vector<Samples> samples(count);
  const auto work = [&](unsigned number) {
    ++begun;
    while (begun < count) look_again();
    for (unsigned chunk = 0; chunk < kChunks; ++chunk) forwards_[number]->value(samples[number]);
    ++done;
    for (Samples unused; done < count;) forwards_[number]->value(unused);  // who is done stays a neighbour
  };
  {
    OtherCore other([&] { work(1); });
    work(0);
  }
  double sum = 0;
  for (const Samples& its : samples) sum += its.empty() ? 0 : tsc_hz / median(its);
  return sum;
}

Result<> Workers::measure(Outcome& outcome, unsigned runs, const Progress& progress) {
  const double tsc_hz = calibrate().tsc_hz;
  const auto count = static_cast<unsigned>(forwards_.size());
  for (unsigned run = 0; run <= runs; ++run) {
    const double value = count == 1 ? alone(tsc_hz, &Forward::value) : together(tsc_hz);
    const double limit = count == 1 ? alone(tsc_hz, &Forward::limit) : count * alone(tsc_hz, &Forward::value);
    if (value == 0 || limit == 0) return fail("workers: found a run that lost packets");
    if (run == 0) continue;
    outcome.runs.push_back(value);
    outcome.limit_runs.push_back(limit);
    progress(run);
  }
  summarize(outcome);
  return {};
}

}  // namespace

Result<Case> workers_case(unsigned count) {
  const auto workers = std::make_shared<Workers>(count);
  if (auto verified = workers->verify(); !verified) return std::unexpected(verified.error());
  return Case{.name = fmt::format("workers/{}", count),
              .unit = kPacketsPerSecond,
              .limit_is = count == 1 ? "macswap, open, seal" : "as many times one alone",
              .chunks = kChunks,
              .value = {},
              .limit = {},
              .whole = [workers](Outcome& outcome, unsigned runs, const Progress& progress) {
                return workers->measure(outcome, runs, progress);
              }};
}

}  // namespace sky::perf
