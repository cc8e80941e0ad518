// The worker's own functions on one core, beside the limit of each: docs/performance.md. Started by perf/run.
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fstream>

#include "perf/loop/cases.h"
#include "perf/loop/edge.h"
#include "perf/loop/other_core.h"
#include "perf/loop/report.h"
#include "tests/support/memory_port.h"

namespace sky::perf {

namespace {

struct Options {
  std::string json;               ///< file; empty: standard output
  std::vector<std::string> only;  ///< parts of cases' names; empty: all
  bool list = false;
  bool memory = false;
  bool hugepages = false;
  bool quick = false;
  std::optional<unsigned> runs;  ///< instead of what quick says
  double testpmd = 0;            ///< clocks a packet of its macswap; 0: not measured
};

constexpr unsigned kQuickRuns = 11, kManyRuns = 51;

struct Entry {
  std::string name;
  std::function<Result<Case>()> make;
  bool edge = false;  ///< needs the memory of a full destination map
};

/// 64, 570 and 1420 bytes, 7 : 4 : 1.
const std::vector<size_t> kImix{64, 570, 64, 64, 570, 64, 1420, 64, 570, 64, 64, 570};
/// The same of whole Datagrams: in 64 bytes no IPv6 packet has room.
const std::vector<size_t> kEdgeImix{128, 570, 128, 128, 570, 128, 1420, 128, 570, 128, 128, 570};

/// The edge router's, which share one: it is made when it is first asked for, and loaded by the first of these.
void edges(std::vector<Entry>& all) {
  const auto edge = [made = std::make_shared<std::unique_ptr<Edge>>()]() -> Edge& {
    if (*made == nullptr) *made = std::make_unique<Edge>();
    return **made;
  };
  const auto loaded = [edge]() -> Edge& {
    if (edge().loaded()) return edge();
    static_cast<void>(edge().load(edge().untimed()));  // throws where one is refused
    edge().spread_targets();
    return edge();
  };
  if (OtherCore::exists()) all.push_back({"install/prefixes", [edge] { return install_prefixes_case(edge()); }, true});
  for (const auto& [way, make] : {std::pair{"ingress", &ingress_case}, std::pair{"egress", &egress_case}}) {
    for (const auto& [word, kind] : {std::pair{"header", FrameKind::header}, std::pair{"frame", FrameKind::frame}}) {
      for (const auto& [size, bytes] : {std::pair{"128", std::vector<size_t>{128}},
                                        std::pair{"1420", std::vector<size_t>{1420}}, std::pair{"imix", kEdgeImix}}) {
        const EdgeSpec spec{.name = fmt::format("{}/{}-{}", way, word, size), .kind = kind, .packet_bytes = bytes};
        all.push_back({spec.name, [=] { return make(loaded(), spec); }, true});
      }
    }
  }
}

std::vector<Entry> entries(bool quick) {
  std::vector<Entry> all;
  const auto forward = [&all](const ForwardSpec& spec) {
    all.push_back({spec.name, [spec] { return forward_case(spec); }});
  };
  constexpr std::pair<const char*, FrameKind> kKinds[]{
      {"clear", FrameKind::clear}, {"header", FrameKind::header}, {"frame", FrameKind::frame}};
  for (const auto& [word, kind] : kKinds) {
    for (const size_t bytes : {64, 128, 256, 512, 1024, 1420, 9000})
      forward({.name = fmt::format("forward/{}-{}", word, bytes), .kind = kind, .packet_bytes = {bytes}});
    forward({.name = fmt::format("forward/{}-imix", word), .kind = kind, .packet_bytes = kImix});
  }
  for (const size_t bytes : {64, 1420})
    forward(
        {.name = fmt::format("forward/chacha-{}", bytes), .packet_bytes = {bytes}, .suite = Suite::chacha20_poly1305});
  constexpr std::pair<const char*, uint32_t> kTables[]{
      {"1k", 1 << 10}, {"64k", 1 << 16}, {"1M", 1 << 20}, {"16M", 1 << 24}};
  for (const auto& [word, circuits] : kTables) {
    const auto shared = std::make_shared<std::shared_ptr<Transit>>();
    for (const bool zipf : {true, false}) {
      const ForwardSpec spec{.name = fmt::format("table/{}{}", word, zipf ? "" : "-uniform"),
                             .kind = FrameKind::clear,
                             .packet_bytes = {64},
                             .circuits = circuits,
                             .zipf = zipf};
      all.push_back({spec.name, [spec, shared] { return forward_case(spec, shared.get()); }});
    }
  }
  for (const unsigned links : {1, 64, 4096, 65534})
    forward({.name = fmt::format("links/{}", links == 65534 ? 65536 : links),
             .kind = FrameKind::header,
             .packet_bytes = {64},
             .links = links,
             .circuits = std::max(1024u, links)});
  edges(all);
  all.push_back({"hostile/badtag", [] { return hostile_case(Attack::bad_tag); }});
  all.push_back({"hostile/replay", [] { return hostile_case(Attack::replay); }});
  all.push_back({"hostile/garbage", [] { return hostile_case(Attack::garbage); }});
  all.push_back({"hostile/unknown", [] { return hostile_case(Attack::unknown_link); }});
  if (OtherCore::exists()) all.push_back({"install/rules", install_rules_case});
  all.push_back({"failover/cut", [] { return failover_case(Fault::cut); }});
  all.push_back({"failover/silent", [] { return failover_case(Fault::silent); }});
  all.push_back({"failover/copy", [] { return failover_case(Fault::copy); }});
  for (const unsigned percent : {10, 50, 90})
    all.push_back({fmt::format("latency/{}", percent), [percent] { return latency_case(percent); }});
  if (OtherCore::exists()) all.push_back({"loop-gap", [quick] { return loop_gap_case(quick ? 5 : 60); }});
  all.push_back({"workers/1", [] { return workers_case(1); }});
  if (!OtherCore::exists()) return all;
  all.push_back({"workers/2", [] { return workers_case(2); }});
  const ForwardSpec header{.name = "twocore/header-64", .kind = FrameKind::header, .packet_bytes = {64}};
  const ForwardSpec frame{.name = "twocore/frame-1420", .packet_bytes = {1420}};
  for (const ForwardSpec& spec : {header, frame}) all.push_back({spec.name, [spec] { return two_cores_case(spec); }});
  return all;
}

/// How far the suite is: a line for each case when it is done, and on a terminal one that is rewritten meanwhile.
class Progress {
 public:
  explicit Progress(size_t cases) : cases_(cases) {}

  void at(const Entry& entry, const std::string& step) const {
    if (terminal_) fmt::print(stderr, "\r{:<78}", fmt::format("{}/{} {}: {}", done_ + 1, cases_, entry.name, step));
  }
  void done(const Entry& entry) {
    ++done_;
    const std::chrono::duration<double> passed = Clock::now() - start_;
    const double left = passed.count() / static_cast<double>(done_) * static_cast<double>(cases_ - done_);
    fmt::print(stderr, "{}{:<78}\n", terminal_ ? "\r" : "",
               fmt::format("{}/{} {}: done after {:.0f} s, about {:.0f} s left", done_, cases_, entry.name,
                           passed.count(), left));
  }

 private:
  using Clock = std::chrono::steady_clock;
  const bool terminal_ = isatty(STDERR_FILENO) != 0;
  const Clock::time_point start_ = Clock::now();
  size_t cases_, done_ = 0;
};

/// Also what it throws: a node that did not stand up, memory that there is not.
Result<Outcome> run(const Entry& entry, unsigned runs, const Progress& progress) {
  try {
    progress.at(entry, "prepares and verifies");
    auto one = entry.make();
    if (!one) return std::unexpected(one.error());
    const Disturbance before = disturbance();
    auto outcome =
        measure(*one, runs, [&](unsigned done) { progress.at(entry, fmt::format("run {} of {}", done, runs)); });
    if (outcome) outcome->disturbed = disturbance() - before;
    return outcome;
  } catch (const std::exception& error) {
    return fail("{}: {}", entry.name, error.what());
  }
}

/// Those that are asked for; empty where one of the words names none.
std::vector<Entry> chosen(const std::vector<std::string>& only, bool quick) {
  std::vector<Entry> all = entries(quick);
  const auto named = [](const Entry& entry, const std::string& word) {
    return entry.name.find(word) != std::string::npos;
  };
  for (const std::string& word : only) {
    if (std::ranges::none_of(all, [&](const Entry& entry) { return named(entry, word); })) {
      fmt::print(stderr, "perf: found no case named like {}, wanted one of --list\n", word);
      return {};
    }
  }
  std::erase_if(all, [&](const Entry& entry) {
    return !only.empty() && std::ranges::none_of(only, [&](const std::string& word) { return named(entry, word); });
  });
  return all;
}

/// What DPDK takes for these.
uint64_t eal_bytes(const std::vector<Entry>& cases) {
  return test::kEalBytes + (std::ranges::any_of(cases, &Entry::edge) ? Edge::eal_bytes() : 0);
}

/// Where a macswap is all of the limit, and testpmd's takes less than the one beside the case, testpmd's is it.
void take_faster(Outcome& outcome, double testpmd) {
  if (testpmd == 0 || outcome.limit_is != kMacswap || testpmd >= outcome.limit) return;
  outcome.limit_is = fmt::format("testpmd's macswap; own {:.1f}", outcome.limit);
  outcome.limit_runs = {testpmd};
  summarize(outcome);
}

int bench(const Options& options, const std::vector<Entry>& cases) {
  const auto refuse = [](const Error& error) {
    fmt::print(stderr, "perf: {}\n", error.message);
    return 2;
  };
  const Clocks clocks = calibrate();
  std::vector<Outcome> outcomes;
  size_t failed = 0;
  Progress progress(cases.size());
  for (const Entry& entry : cases) {
    auto outcome = run(entry, options.runs.value_or(options.quick ? kQuickRuns : kManyRuns), progress);
    progress.done(entry);
    if (!outcome) {  // the others have their figures all the same
      ++failed;
      refuse(outcome.error());
      continue;
    }
    take_faster(*outcome, options.testpmd);
    outcomes.push_back(*outcome);
  }
  fmt::print(stderr, "{}", to_table(clocks, outcomes));
  const std::string json = to_json(clocks, options.hugepages, options.testpmd, outcomes);
  if (options.json.empty()) {
    fmt::print("{}", json);
    return failed == 0 ? 0 : 1;
  }
  if (std::ofstream file(options.json); file << json && file.flush()) return failed == 0 ? 0 : 1;
  return refuse({fmt::format("{}: found it cannot be written", options.json)});
}

}  // namespace

}  // namespace sky::perf

int main(int argc, char** argv) {
  sky::perf::take_last_cpu();
  sky::perf::Options options;
  CLI::App app("Clocks per packet of the worker's own functions, beside their limits");
  app.add_option("--json", options.json, "write the JSON to this file, not to standard output");
  app.add_option("cases", options.only, "only those whose names hold one of these words");
  app.add_flag("--list", options.list, "the names of the cases, and no more");
  app.add_flag("--memory", options.memory, "what of it DPDK will take, in bytes, and no more");
  app.add_flag("--hugepages", options.hugepages, "all that DPDK takes is hugepages of 2 MiB");
  app.add_option("--testpmd", options.testpmd, "clocks a packet that DPDK's testpmd takes for a macswap");
  app.add_flag(
      "--quick", options.quick,
      fmt::format("{} runs of each case, not {}, and shorter ones", sky::perf::kQuickRuns, sky::perf::kManyRuns));
  app.add_option("--runs", options.runs, "so many runs of each case")->check(CLI::Range(5, 1000));
  CLI11_PARSE(app, argc, argv);
  const auto cases = sky::perf::chosen(options.only, options.quick);
  if (cases.empty()) return 2;
  if (options.list) {
    for (const auto& entry : cases) fmt::print("{}\n", entry.name);
    return 0;
  }
  const uint64_t memory = sky::perf::eal_bytes(cases);
  if (options.memory) {
    fmt::print("{}\n", memory);
    return 0;
  }
  try {
    // Hugepages come as they are asked for.
    sky::test::start_eal_once(options.hugepages, options.hugepages ? sky::test::kEalBytes : memory);
    return sky::perf::bench(options, cases);
  } catch (const std::exception& error) {  // the node under test did not stand
    fmt::print(stderr, "perf: {}\n", error.what());
    return 2;
  }
}
