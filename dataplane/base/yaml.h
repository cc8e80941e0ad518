// A YAML file as a plain tree with marks, read under budgets. yaml-cpp only parses: the tree is
// ours, so a scalar stays text until the reader that knows its type converts it (no "yes" is a
// boolean, no name a number), duplicate keys are errors, aliases are copied against the node
// budget, and no exception passes this line. On entry: a file or a text from anyone. After: a tree
// of at most Budget::depth levels and Budget::nodes nodes, or errors. Cost: linear in the file,
// about 100 bytes a node. Refused before parsing: too large, not UTF-8 text.
#pragma once

#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/base/config_error.h"

namespace sky::yaml {

struct Budget {
  size_t bytes = 1 << 20;
  size_t depth = 32;
  size_t nodes = 1'000'000;        ///< values, copies made by aliases included
  size_t aliases = 256;            ///< and as many anchors
  size_t stretch_bytes = 1 << 16;  ///< text before a value is complete: a long scalar, comment or `[...]` as a key
};

struct Entry;

struct Node {
  enum class Kind : uint8_t { null, scalar, list, map };
  Kind kind = Kind::null;
  bool quoted = false;  ///< a scalar in quotes is text, never a number or a boolean
  Mark mark;
  std::string text;            ///< of a scalar
  std::vector<Entry> entries;  ///< of a list (keys empty) or a map, in the file's order, keys unique
};

struct Entry {
  std::string key;
  Mark mark;  ///< of the key; in a list, of the value
  Node value;
};

/// What a node is, in an error's words: `"12"`, `a map`, `nothing`.
std::string describe(const Node& node);

/// Parses one document; nothing and a filled report when it is refused.
std::optional<Node> parse(std::string_view text, const Budget& budget, Report& report);

/// The same for the file that the report names; its size is judged before a byte is read.
std::optional<Node> load(const Budget& budget, Report& report);

}  // namespace sky::yaml
