// Lists of JSON objects as tables: which field goes into which column, and in which form people read it.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace sky::controlplane {

using Json = nlohmann::ordered_json;

enum class Form {
  plain,
  age,    ///< nanoseconds
  delay,  ///< microseconds; 0 is unknown
  bytes,
  rate,      ///< events a second
  bit_rate,  ///< bits a second
  share,     ///< of 1, in percent
  yes_no,
  path,
  short_id,
};

struct Column {
  const char* heading;
  const char* key;
  Form form = Form::plain;
};
using Columns = std::vector<Column>;

/// A number or a text as it is, "" for anything else.
std::string plain(const Json& value);
/// The terminal's, not the network's: nothing in a cell moves the cursor.
std::string printable(std::string text);
/// "" where the field is missing or of another type.
std::string cell(const Json& row, const Column& column);
/// A row for each object of the list.
std::string rows_text(const Columns& columns, const Json& rows);

}  // namespace sky::controlplane
