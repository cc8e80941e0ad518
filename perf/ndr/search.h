// The highest rate at which a device loses at most a given share, as RFC 2544 has it (0: NDR) and CSIT beside it (0.5
// %: PDR). One trial as fast as the generator goes bounds the search, what came back of it is the first guess
// (MLRsearch); then each trial halves the interval of rates, in their logarithm. The last trial is a long one: where it
// loses more than it may, the rate goes down in growing steps until one holds.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>

namespace sky::perf {

struct Trial {
  double seconds;
  uint64_t sent;
  uint64_t received;

  double rate() const { return static_cast<double>(sent) / seconds; }
  double loss() const { return sent == 0 ? 1 : 1 - static_cast<double>(received) / static_cast<double>(sent); }
};

/// Sends at a rate for so long; at 0 as fast as it goes.
using Measure = std::function<Trial(double rate, double seconds)>;

struct SearchConfig {
  double trial_seconds = 1;
  double final_seconds = 10;
  double width = 0.01;   ///< the interval is narrow enough: upper end over lower, less 1
  double least = 1'000;  ///< packets/s: not found, below that
};

/// The long trial that held; nothing when none did. `fastest` is a trial at 0, `known` a long one that holds: what is
/// found is at least that.
std::optional<Trial> search(const Measure& measure, double loss, const Trial& fastest,
                            const std::optional<Trial>& known, const SearchConfig& config);

}  // namespace sky::perf
