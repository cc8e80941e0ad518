#include "tests/support/change.h"

#include <span>

namespace sky::test {

namespace {

constexpr size_t kFields = kCounters + kDropReasons;
static_assert(sizeof(Change) == kFields * sizeof(int64_t));

std::span<int64_t, kFields> fields(Change& change) {
  return std::span<int64_t, kFields>(&change.received, kFields);
}

}  // namespace

int64_t& Change::of(Counter counter) {
  return fields(*this)[static_cast<size_t>(counter)];
}

int64_t& Change::of(Drop reason) {
  return fields(*this)[kCounters + static_cast<size_t>(reason)];
}

Change& Change::operator+=(const Change& other) {
  Change right = other;
  for (size_t i = 0; i < kFields; ++i) fields(*this)[i] += fields(right)[i];
  return *this;
}

int64_t Change::drops() const {
  Change copy = *this;
  int64_t sum = 0;
  for (const int64_t each : fields(copy).subspan<kCounters>()) sum += each;
  return sum;
}

int64_t Change::unaccounted() const {
  Change copy = *this;
  int64_t sum = received + copied + taken_over - transmitted - punted - handed_over - held - queued - drops();
  for (size_t i = 0; i < kCounters; ++i) {
    if (kCounterNames[i].starts_with("injected_")) sum += fields(copy)[i];
    if (kCounterNames[i].starts_with("delivered_")) sum -= fields(copy)[i];
  }
  return sum;
}

Change operator-(const Change& left, const Change& right) {
  Change minus = left;
  Change other = right;
  for (size_t i = 0; i < kFields; ++i) fields(minus)[i] -= fields(other)[i];
  return minus;
}

std::ostream& operator<<(std::ostream& out, const Change& change) {
  Change copy = change;
  out << "{";
  for (size_t i = 0; i < kFields; ++i) {
    if (fields(copy)[i] == 0) continue;
    out << " ." << (i < kCounters ? kCounterNames[i] : kDropNames[i - kCounters]) << " = " << fields(copy)[i];
  }
  return out << " }";
}

Change read_counts(const WorkerStats& stats) {
  Change out;
  for (size_t i = 0; i < kCounters; ++i) {
    const auto counter = static_cast<Counter>(i);
    if (counter == Counter::loops || counter == Counter::sleeps) continue;
    out.of(counter) = static_cast<int64_t>(stats.counters[i].get());
  }
  for (size_t i = 0; i < kDropReasons; ++i) out.of(static_cast<Drop>(i)) = static_cast<int64_t>(stats.drops[i].get());
  return out;
}

}  // namespace sky::test
