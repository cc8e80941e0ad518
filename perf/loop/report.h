// What a run says: JSON for programs, a table for people.
#pragma once

#include <span>
#include <string>

#include "perf/loop/measure.h"

namespace sky::perf {

/// `testpmd`: clocks of its macswap, 0 where it was not measured.
/// {"machine": {...}, "cases": [{"name", "value", "unit", "limit", "ratio", "runs": [...], ...}]}
std::string to_json(const Clocks& clocks, bool hugepages, double testpmd, std::span<const Outcome> outcomes);
std::string to_table(const Clocks& clocks, std::span<const Outcome> outcomes);

}  // namespace sky::perf
