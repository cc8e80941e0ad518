#include "perf/loop/report.h"

#include <fmt/format.h>
#include <intel-ipsec-mb.h>
#include <rte_version.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <fstream>
#include <nlohmann/json.hpp>

namespace sky::perf {

namespace {

/// The value of the first line of a /proc file that begins with `key`.
std::string proc_value(const char* path, const std::string& key) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with(key)) continue;
    const size_t value = line.find_first_not_of(" \t:", key.size());
    return value == std::string::npos ? "" : line.substr(value);
  }
  return "";
}

nlohmann::ordered_json machine_of(const Clocks& clocks, bool hugepages, std::span<const Outcome> outcomes) {
  utsname system;
  uname(&system);
  Disturbance all;
  for (const Outcome& one : outcomes) {
    all.stolen_ms += one.disturbed.stolen_ms;
    all.switches += one.disturbed.switches;
  }
  return {{"cpu", proc_value("/proc/cpuinfo", "model name")},
          {"flags", proc_value("/proc/cpuinfo", "flags")},
          {"cpus", sysconf(_SC_NPROCESSORS_ONLN)},
          {"kernel", system.release},
          {"versions", {{"dpdk", rte_version()}, {"ipsec_mb", imb_get_version_str()}, {"compiler", __VERSION__}}},
          {"load", proc_value("/proc/loadavg", "")},
          {"stolen_ms", all.stolen_ms},
          {"switches", all.switches},
          {"tsc_hz", clocks.tsc_hz},
          {"core_hz", clocks.core_hz},
          {"hugepages", hugepages}};
}

/// One line, or nothing of a case without.
std::string more_of(const Outcome& one) {
  std::string text;
  for (const auto& [word, figure] : one.more) text += fmt::format("  {} {:.6g}", word, figure);
  return text.empty() ? text : text + "\n";
}

/// The same.
std::string stages_of(const Outcome& one) {
  std::string text;
  for (size_t stage = 0; stage < kStages; ++stage) {
    if (one.stages[stage] != 0) text += fmt::format("  {} {:.1f}", kStageNames[stage], one.stages[stage]);
  }
  return text.empty() ? text : text + "\n";
}

}  // namespace

std::string to_json(const Clocks& clocks, bool hugepages, double testpmd, std::span<const Outcome> outcomes) {
  nlohmann::ordered_json json;
  json["machine"] = machine_of(clocks, hugepages, outcomes);
  if (testpmd != 0) json["machine"]["testpmd_macswap"] = testpmd;
  json["cases"] = nlohmann::ordered_json::array();
  for (const Outcome& one : outcomes) {
    nlohmann::ordered_json entry = {{"name", one.name},
                                    {"value", one.value},
                                    {"unit", one.unit},
                                    {"limit", one.limit},
                                    {"ratio", one.ratio()},
                                    {"runs", one.runs},
                                    {"spread", one.spread},
                                    {"limit_is", one.limit_is},
                                    {"limit_runs", one.limit_runs},
                                    {"limit_spread", one.limit_spread},
                                    {"saturated", one.saturated},
                                    {"stolen_ms", one.disturbed.stolen_ms},
                                    {"switches", one.disturbed.switches}};
    if (one.per_second(clocks) != 0) entry["millions_per_second"] = one.per_second(clocks) / 1e6;
    for (const auto& [word, figure] : one.more) entry[word] = figure;
    if (one.unit == kClocksPerPacket) entry["core_clocks"] = one.value * clocks.core_hz / clocks.tsc_hz;
    for (size_t stage = 0; stage < kStages; ++stage) {
      if (one.stages[stage] != 0) entry["stages"][std::string(kStageNames[stage])] = one.stages[stage];
    }
    json["cases"].push_back(entry);
  }
  return json.dump(2) + "\n";
}

std::string to_table(const Clocks& clocks, std::span<const Outcome> outcomes) {
  std::string text = fmt::format("{}; TSC {:.3f} GHz, core about {:.2f} GHz\n",
                                 proc_value("/proc/cpuinfo", "model name"), clocks.tsc_hz / 1e9, clocks.core_hz / 1e9);
  text += fmt::format("{:<20} {:>10} {:>8} {:>10} {:>8} {:>6}  {:<17} {:<41} {:>6}\n", "case", "value", "spread",
                      "limit", "spread", "M/s", "unit", "limit is", "ratio");
  for (const Outcome& one : outcomes) {
    const double rate = one.per_second(clocks);
    text += fmt::format("{:<20} {:>10.1f} {:>8.1f} {:>10.1f} {:>8.1f} {:>6}  {:<17} {:<41} {:>6.3f}\n", one.name,
                        one.value, one.spread, one.limit, one.limit_spread,
                        rate == 0 ? "" : fmt::format("{:.2f}", rate / 1e6), one.unit, one.limit_is, one.ratio());
    text += more_of(one) + stages_of(one);
  }
  return text;
}

}  // namespace sky::perf
