// The worker's own functions on one core, beside the limit of each: docs/performance.md. Started by perf/run.
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <fstream>

#include "perf/loop/cases.h"
#include "perf/loop/report.h"

namespace sky::perf {

namespace {

struct Options {
  std::string json;  ///< file; empty: standard output
  std::string only;  ///< part of a case's name
  unsigned runs = 11;
};

struct Entry {
  std::string name;
  Result<Case> (*make)();
};

const Entry kEntries[] = {
    {"forward/frame-64", [] { return forward_case(64); }},
    {"forward/frame-1420", [] { return forward_case(1420); }},
    {"ingress/frame-1420", [] { return ingress_case(1420); }},
    {"hostile/badtag", [] { return hostile_case(Attack::bad_tag); }},
    {"hostile/replay", [] { return hostile_case(Attack::replay); }},
    {"hostile/garbage", [] { return hostile_case(Attack::garbage); }},
    {"hostile/unknown", [] { return hostile_case(Attack::unknown_link); }},
    {"install/rules", [] { return install_case(100'000); }},
};

/// A terminal sees its line rewritten, a log sees nothing of it.
void progress(const std::string& text) {
  if (isatty(STDERR_FILENO) != 0) fmt::print(stderr, "\r{:<60}{}", text, text.empty() ? "\r" : "");
}

Result<Outcome> run(const Entry& entry, unsigned runs) {
  progress(entry.name + ": prepares and verifies");
  auto one = entry.make();
  if (!one) return std::unexpected(one.error());
  auto outcome =
      measure(*one, runs, [&](unsigned done) { progress(fmt::format("{}: run {} of {}", entry.name, done, runs)); });
  progress("");
  return outcome;
}

int bench(const Options& options) {
  const auto refuse = [](const Error& error) {
    fmt::print(stderr, "perf: {}\n", error.message);
    return 2;
  };
  const Clocks clocks = calibrate();
  std::vector<Outcome> outcomes;
  for (const Entry& entry : kEntries) {
    if (entry.name.find(options.only) == std::string::npos) continue;
    auto outcome = run(entry, options.runs);
    if (!outcome) return refuse(outcome.error());
    outcomes.push_back(*outcome);
  }
  if (outcomes.empty()) return refuse({fmt::format("found no case named like {}", options.only)});
  fmt::print(stderr, "{}", to_table(clocks, outcomes));
  const std::string json = to_json(clocks, outcomes);
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
  app.add_option("--case", options.only, "only cases whose name holds this");
  app.add_option("--runs", options.runs, "runs of each case")->check(CLI::Range(5, 1000));
  CLI11_PARSE(app, argc, argv);
  try {
    return sky::perf::bench(options);
  } catch (const std::exception& error) {  // the node under test did not stand
    fmt::print(stderr, "perf: {}\n", error.what());
    return 2;
  }
}
