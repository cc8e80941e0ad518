#include "controlplane/cli/table.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <span>
#include <string_view>

namespace sky::controlplane {
namespace {

constexpr std::string_view kNothing = "-";

struct Unit {
  double size;
  std::string_view name;
};

/// `units` from small to large; three digits of the largest that is not below one.
std::string in_unit(double value, std::span<const Unit> units) {
  const Unit* unit = units.data();
  for (const Unit& larger : units) {
    if (value >= larger.size) unit = &larger;
  }
  const double figure = value / unit->size;
  const int places = unit == units.data() || figure >= 100 ? 0 : figure >= 10 ? 1 : 2;
  return fmt::format("{:.{}f} {}", figure, places, unit->name);
}

std::string_view shown(const std::string& cell) {
  return cell.empty() ? kNothing : std::string_view(cell);
}

bool is_quantity(const std::string& cell) {
  return cell.empty() || cell == kNothing ||
         (std::isdigit(static_cast<unsigned char>(cell[0])) != 0 && cell.size() < 16);
}

}  // namespace

std::string Table::text() const {
  const size_t columns = rows_.front().size();
  std::vector<size_t> widths(columns);
  std::vector<bool> right(columns, rows_.size() > 1);
  for (size_t row = 0; row < rows_.size(); ++row) {
    for (size_t column = 0; column < columns; ++column) {
      const std::string& cell = rows_[row][column];
      widths[column] = std::max(widths[column], shown(cell).size());
      if (row > 0 && !is_quantity(cell)) right[column] = false;
    }
  }
  std::string text;
  for (const auto& row : rows_) {
    std::string line;
    for (size_t column = 0; column < columns; ++column) {
      line += right[column] ? fmt::format("{:>{}}", shown(row[column]), widths[column])
                            : fmt::format("{:<{}}", shown(row[column]), widths[column]);
      line += "  ";
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  }
  return text;
}

std::string human_duration(uint64_t value_ns) {
  static constexpr Unit kUnits[] = {{1, "ns"}, {1e3, "us"}, {1e6, "ms"}, {1e9, "s"}};
  constexpr uint64_t kSecond = 1'000'000'000, kMinute = 60 * kSecond, kHour = 60 * kMinute, kDay = 24 * kHour;
  if (value_ns < 2 * kMinute) return in_unit(static_cast<double>(value_ns), kUnits);
  if (value_ns < 2 * kHour) return fmt::format("{} min", value_ns / kMinute);
  if (value_ns < 2 * kDay) return fmt::format("{} h", value_ns / kHour);
  return fmt::format("{} d", value_ns / kDay);
}

std::string human_bytes(uint64_t value_bytes) {
  static constexpr Unit kUnits[] = {{1, "B"}, {1e3, "kB"}, {1e6, "MB"}, {1e9, "GB"}, {1e12, "TB"}};
  return in_unit(static_cast<double>(value_bytes), kUnits);
}

std::string human_rate(double events_s) {
  static constexpr Unit kUnits[] = {{1, "/s"}, {1e3, "k/s"}, {1e6, "M/s"}, {1e9, "G/s"}};
  const bool slow = events_s > 0 && events_s < 10;  // one in five seconds is not none
  return slow ? fmt::format("{:.1f} /s", events_s) : in_unit(events_s, kUnits);
}

std::string human_bit_rate(double bits_s) {
  static constexpr Unit kUnits[] = {{1, "bit/s"}, {1e3, "kbit/s"}, {1e6, "Mbit/s"}, {1e9, "Gbit/s"}, {1e12, "Tbit/s"}};
  return in_unit(bits_s, kUnits);
}

}  // namespace sky::controlplane
