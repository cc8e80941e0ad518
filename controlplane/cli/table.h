// Text for people: tables with aligned columns, and quantities in the unit that reads best.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace sky::controlplane {

class Table {
 public:
  explicit Table(std::vector<std::string> headings) : rows_{std::move(headings)} {}

  /// As many cells as there are headings; an empty one is shown as "-".
  void add(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }
  bool empty() const { return rows_.size() == 1; }

  /// One line a row. Columns of numbers stand to the right.
  std::string text() const;

 private:
  std::vector<std::vector<std::string>> rows_;
};

std::string human_duration(uint64_t value_ns);  ///< 850 ns, 1.25 ms, 3.2 s, 12 min, 5 h, 3 d
std::string human_bytes(uint64_t value_bytes);  ///< 12 B, 3.4 kB, 5.6 GB
std::string human_rate(double events_s);        ///< 0.2 /s, 12 /s, 3.40 k/s, 5.60 M/s
std::string human_bit_rate(double bits_s);      ///< 12 bit/s, 3.40 Mbit/s, 9.41 Gbit/s

}  // namespace sky::controlplane
