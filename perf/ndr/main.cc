// The rate that a router on real ports takes without a loss, and with one of 0.5 %: docs/performance.md. Started by
// perf/run ndr.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <fstream>

#include "perf/loop/report.h"
#include "perf/ndr/rig.h"

namespace sky::perf {
namespace {

struct Options {
  std::vector<std::string> ports, generators;
  std::string frame = "header-64";
  std::string json;
  std::vector<uint16_t> cpus{0, 1};
  uint16_t mtu = 1500;
  bool hugepages = false;
  SearchConfig search;
};

/// header-64: kind of protection and bytes of the packet.
Result<> read_frame(const Options& options, RigConfig& config) {
  const size_t dash = options.frame.find('-');
  const std::string word = options.frame.substr(0, dash);
  const std::pair<const char*, FrameKind> kinds[]{
      {"clear", FrameKind::clear}, {"header", FrameKind::header}, {"frame", FrameKind::frame}};
  const auto* found = std::ranges::find(kinds, word, &std::pair<const char*, FrameKind>::first);
  const int bytes = dash == std::string::npos ? 0 : std::atoi(options.frame.c_str() + dash + 1);
  if (found == std::end(kinds) || bytes < 64 || static_cast<size_t>(bytes) + kLinkOverhead > options.mtu)
    return fail("--frame: found {}, wanted clear, header or frame, a dash, and from 64 to {} bytes", options.frame,
                options.mtu - kLinkOverhead);
  config.kind = found->second;
  config.packet_bytes = static_cast<size_t>(bytes);
  return {};
}

Outcome outcome_of(const std::string& name, const std::optional<Trial>& last, const Trial& fastest) {
  Outcome outcome{};
  outcome.name = name;
  outcome.unit = kPacketsPerSecond;
  outcome.limit_is = "what the generator gave";
  outcome.value = last ? last->rate() : 0;
  outcome.limit = fastest.rate();
  outcome.runs = {outcome.value};
  outcome.limit_runs = {outcome.limit};
  outcome.saturated = false;
  return outcome;
}

int ndr(const Options& options) {
  const auto refuse = [](const Error& error) {
    fmt::print(stderr, "perf: {}\n", error.message);
    return 2;
  };
  RigConfig config{.ports = {options.ports[0], options.ports[1]},
                   .generators = {options.generators[0], options.generators[1]},
                   .mtu = options.mtu,
                   .cpus = {options.cpus[0], options.cpus[1]},
                   .hugepages = options.hugepages};
  if (auto read = read_frame(options, config); !read) return refuse(read.error());
  const Clocks clocks = calibrate();
  auto rig = Rig::create(config);
  if (!rig) return refuse(rig.error());
  const Measure measure = [&](double rate, double seconds) {
    const Trial trial = (*rig)->measure(rate, seconds);
    fmt::print(stderr, "perf: {:>12.0f} packets/s for {:.1f} s: {} of {} lost ({:.4f} %)\n", trial.rate(),
               trial.seconds, trial.sent - trial.received, trial.sent, 100 * trial.loss());
    return trial;
  };
  const Trial fastest = measure(0, options.search.trial_seconds);
  const auto without = search(measure, 0, fastest, std::nullopt, options.search);
  const auto with = search(measure, 0.005, fastest, without, options.search);
  const std::array outcomes{outcome_of("ndr/" + options.frame, without, fastest),
                            outcome_of("pdr/" + options.frame, with, fastest)};
  fmt::print(stderr, "{}", to_table(clocks, outcomes));
  if (std::ofstream file(options.json); file << to_json(clocks, options.hugepages, 0, outcomes) && file.flush())
    return 0;
  return refuse({fmt::format("{}: found it cannot be written", options.json)});
}

}  // namespace
}  // namespace sky::perf

int main(int argc, char** argv) {
  sky::perf::Options options;
  CLI::App app("The rate that a router on real ports takes without a loss, and with one of 0.5 %");
  app.add_option("--port", options.ports, "device of the router; frames come by the first")->required()->expected(2);
  app.add_option("--generator", options.generators, "device at the other end of each")->required()->expected(2);
  app.add_option("--frame", options.frame, "protection and bytes of the packets");
  app.add_option("--json", options.json, "write the JSON to this file")->required();
  app.add_option("--cpu", options.cpus, "of generator and worker")->expected(2);
  app.add_option("--mtu", options.mtu, "of the ports");
  app.add_option("--trial", options.search.trial_seconds, "seconds of a trial of the search");
  app.add_option("--final", options.search.final_seconds, "seconds of the last trial");
  app.add_option("--width", options.search.width, "of the interval that ends the search: upper end over lower, less 1");
  app.add_flag("--hugepages", options.hugepages, "of 2 MiB, for packet buffers and rings");
  CLI11_PARSE(app, argc, argv);
  try {
    return sky::perf::ndr(options);
  } catch (const std::exception& error) {  // the node under test did not stand
    fmt::print(stderr, "perf: {}\n", error.what());
    return 2;
  }
}
