// The worker's own functions on one core, beside the limit of each: docs/performance.md. Started by perf/run.
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <fstream>

#include "perf/loop/cases.h"
#include "perf/loop/report.h"
#include "tests/support/memory_port.h"

namespace sky::perf {

namespace {

struct Options {
  std::string json;               ///< file; empty: standard output
  std::vector<std::string> only;  ///< parts of cases' names; empty: all
  bool list = false;
  bool hugepages = false;
  unsigned runs = 11;
};

struct Entry {
  std::string name;
  std::function<Result<Case>()> make;
};

/// 64, 570 and 1420 bytes, 7 : 4 : 1.
const std::vector<size_t> kImix{64, 570, 64, 64, 570, 64, 1420, 64, 570, 64, 64, 570};

std::vector<Entry> entries() {
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
    for (const bool zipf : {true, false}) {
      forward({.name = fmt::format("table/{}{}", word, zipf ? "" : "-uniform"),
               .kind = FrameKind::clear,
               .packet_bytes = {64},
               .circuits = circuits,
               .zipf = zipf});
    }
  }
  for (const unsigned links : {1, 64, 4096, 65534})
    forward({.name = fmt::format("links/{}", links == 65534 ? 65536 : links),
             .kind = FrameKind::header,
             .packet_bytes = {64},
             .links = links,
             .circuits = std::max(1024u, links)});
  all.push_back({"ingress/frame-1420", [] { return ingress_case(1420); }});
  all.push_back({"hostile/badtag", [] { return hostile_case(Attack::bad_tag); }});
  all.push_back({"hostile/replay", [] { return hostile_case(Attack::replay); }});
  all.push_back({"hostile/garbage", [] { return hostile_case(Attack::garbage); }});
  all.push_back({"hostile/unknown", [] { return hostile_case(Attack::unknown_link); }});
  all.push_back({"install/rules", [] { return install_case(100'000); }});
  all.push_back({"failover/cut", [] { return failover_case(Fault::cut); }});
  all.push_back({"failover/silent", [] { return failover_case(Fault::silent); }});
  all.push_back({"failover/copy", [] { return failover_case(Fault::copy); }});
  return all;
}

/// A terminal sees its line rewritten, a log sees nothing of it.
void progress(const std::string& text) {
  if (isatty(STDERR_FILENO) != 0) fmt::print(stderr, "\r{:<60}{}", text, text.empty() ? "\r" : "");
}

/// `place`: of all that are run.
Result<Outcome> run(const Entry& entry, const std::string& place, unsigned runs) {
  progress(fmt::format("{} {}: prepares and verifies", place, entry.name));
  auto one = entry.make();
  if (!one) return std::unexpected(one.error());
  const Disturbance before = disturbance();
  auto outcome = measure(
      *one, runs, [&](unsigned done) { progress(fmt::format("{} {}: run {} of {}", place, entry.name, done, runs)); });
  progress("");
  if (outcome) outcome->disturbed = disturbance() - before;
  return outcome;
}

/// Those that are asked for; empty where one of the words names none.
std::vector<Entry> chosen(const std::vector<std::string>& only) {
  std::vector<Entry> all = entries();
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

int bench(const Options& options) {
  const auto refuse = [](const Error& error) {
    fmt::print(stderr, "perf: {}\n", error.message);
    return 2;
  };
  const std::vector<Entry> cases = chosen(options.only);
  if (cases.empty()) return 2;
  const Clocks clocks = calibrate();
  std::vector<Outcome> outcomes;
  for (const Entry& entry : cases) {
    auto outcome = run(entry, fmt::format("{}/{}", outcomes.size() + 1, cases.size()), options.runs);
    if (!outcome) return refuse(outcome.error());
    outcomes.push_back(*outcome);
  }
  fmt::print(stderr, "{}", to_table(clocks, outcomes));
  const std::string json = to_json(clocks, options.hugepages, outcomes);
  if (options.json.empty()) {
    fmt::print("{}", json);
    return 0;
  }
  if (std::ofstream file(options.json); file << json && file.flush()) return 0;
  return refuse({fmt::format("{}: found it cannot be written", options.json)});
}

}  // namespace

}  // namespace sky::perf

int main(int argc, char** argv) {
  sky::perf::Options options;
  CLI::App app("Clocks per packet of the worker's own functions, beside their limits");
  app.add_option("--json", options.json, "write the JSON to this file, not to standard output");
  app.add_option("cases", options.only, "only those whose names hold one of these words");
  app.add_flag("--list", options.list, "the names of all cases, and no more");
  app.add_flag("--hugepages", options.hugepages, "of 2 MiB, 512 MiB in all, for packet buffers and rings");
  app.add_option("--runs", options.runs, "runs of each case")->check(CLI::Range(5, 1000));
  CLI11_PARSE(app, argc, argv);
  if (options.list) {
    for (const auto& entry : sky::perf::entries()) fmt::print("{}\n", entry.name);
    return 0;
  }
  try {
    sky::test::start_eal_once(options.hugepages);
    return sky::perf::bench(options);
  } catch (const std::exception& error) {  // the node under test did not stand
    fmt::print(stderr, "perf: {}\n", error.what());
    return 2;
  }
}
