#include "controlplane/cli/rows.h"

#include <fmt/format.h>

#include "controlplane/cli/table.h"

namespace sky::controlplane {
namespace {

constexpr size_t kShortId = 8;

}  // namespace

std::string plain(const Json& value) {
  if (value.is_string()) return value.get<std::string>();
  return value.is_number() ? value.dump() : "";
}

std::string printable(std::string text) {
  for (char& letter : text) {
    if (static_cast<unsigned char>(letter) < ' ' || letter == 0x7f) letter = '?';
  }
  return text;
}

std::string cell(const Json& row, const Column& column) {
  const auto found = row.find(column.key);
  if (found == row.end()) return "";
  const Json& value = *found;
  const bool counts = value.is_number_unsigned();
  switch (column.form) {
    case Form::plain:
      return plain(value);
    case Form::age:
      return counts ? human_duration(value.get<uint64_t>()) : "";
    case Form::delay:
      return counts && value.get<uint64_t>() > 0 ? human_duration(value.get<uint64_t>() * 1000) : "";
    case Form::bytes:
      return counts ? human_bytes(value.get<uint64_t>()) : "";
    case Form::rate:
      return value.is_number() ? human_rate(value.get<double>()) : "";
    case Form::bit_rate:
      return value.is_number() ? human_bit_rate(value.get<double>()) : "";
    case Form::share:
      return value.is_number() ? fmt::format("{:.0f} %", value.get<double>() * 100) : "";
    case Form::yes_no:
      return value.is_boolean() ? (value.get<bool>() ? "yes" : "no") : "";
    case Form::short_id:
      return plain(value).substr(0, kShortId);
    case Form::path:
      break;
  }
  std::string path;
  for (const Json& node : value) path += (path.empty() ? "" : " > ") + plain(node);
  return path;
}

std::string rows_text(const Columns& columns, const Json& rows) {
  std::vector<std::string> headings;
  for (const Column& column : columns) headings.push_back(column.heading);
  Table table(headings);
  for (const Json& row : rows) {
    if (!row.is_object()) continue;
    std::vector<std::string> cells;
    for (const Column& column : columns) cells.push_back(printable(cell(row, column)));
    table.add(std::move(cells));
  }
  return table.text();
}

}  // namespace sky::controlplane
