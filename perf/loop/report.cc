#include "perf/loop/report.h"

#include <fmt/format.h>
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

/// One line, or nothing of a case without.
std::string stages_of(const Outcome& one) {
  std::string text;
  for (size_t stage = 0; stage < kStages; ++stage) {
    if (one.stages[stage] != 0) text += fmt::format("  {} {:.1f}", kStageNames[stage], one.stages[stage]);
  }
  return text.empty() ? text : text + "\n";
}

}  // namespace

std::string to_json(const Clocks& clocks, bool hugepages, std::span<const Outcome> outcomes) {
  utsname system;
  uname(&system);
  nlohmann::ordered_json json;
  json["machine"] = {{"cpu", proc_value("/proc/cpuinfo", "model name")},
                     {"cpus", sysconf(_SC_NPROCESSORS_ONLN)},
                     {"kernel", system.release},
                     {"load", proc_value("/proc/loadavg", "")},
                     {"tsc_hz", clocks.tsc_hz},
                     {"core_hz", clocks.core_hz},
                     {"hugepages", hugepages}};
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
                                    {"millions_per_second", one.per_second(clocks) / 1e6}};
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
  text += fmt::format("{:<20} {:>8} {:>7} {:>8} {:>7} {:>6} {:>6}  {:<18} {}\n", "case", "value", "spread", "limit",
                      "spread", "ratio", "M/s", "unit", "limit is");
  for (const Outcome& one : outcomes) {
    text += fmt::format("{:<20} {:>8.1f} {:>7.1f} {:>8.1f} {:>7.1f} {:>6.3f} {:>6.2f}  {:<18} {}\n", one.name,
                        one.value, one.spread, one.limit, one.limit_spread, one.ratio(), one.per_second(clocks) / 1e6,
                        one.unit, one.limit_is);
    text += stages_of(one);
  }
  return text;
}

}  // namespace sky::perf
