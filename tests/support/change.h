// What a step did to a worker's counters: every counter and every drop reason by name, so that a test names those that
// move and all others must stay. Loops and sleeps are not traffic and stay out.
#pragma once

#include <array>
#include <cstdint>
#include <ostream>

#include "dataplane/protocol/counters.h"
#include "dataplane/protocol/stats_page.h"

namespace sky::test {

struct Change {
#define SKY_FIELD(name) int64_t name = 0;
  SKY_COUNTERS(SKY_FIELD)
  SKY_DROP_REASONS(SKY_FIELD)
#undef SKY_FIELD

  bool operator==(const Change&) const = default;
  int64_t& of(Counter counter);
  int64_t& of(Drop reason);
  Change& operator+=(const Change& other);
  /// The left side of the accounting equation less the right; 0 when every packet is accounted for.
  int64_t unaccounted() const;
  int64_t drops() const;
};

Change operator-(const Change& left, const Change& right);
std::ostream& operator<<(std::ostream& out, const Change& change);
Change read_counts(const WorkerStats& stats);

}  // namespace sky::test
