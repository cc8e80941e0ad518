// What is wrong in a configuration file, and the report that collects all of it before anyone gives
// up. One error is one line for an operator and for an editor that jumps to it:
//   router.yaml:12:5 links.a1-g1.port: found "p9", wanted a port of this file; did you mean "p0"?
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace sky {

/// A place in a file, both from 1; the column counts bytes.
struct Mark {
  uint32_t line = 1;
  uint32_t column = 1;
};

struct ConfigError {
  std::string file;
  Mark mark;
  std::string key;  ///< dotted: links.a1-g1.port; "file" or "syntax" where none can be named
  std::string found;
  std::string wanted;
  std::string hint;  ///< the near word, empty when there is none
};
using ConfigErrors = std::vector<ConfigError>;

/// Safe on a terminal: control characters from a file are shown, not sent.
std::string to_string(const ConfigError& error);

/// One error a line.
std::string to_string(const ConfigErrors& errors);

/// Text from a file in quotes, cut to a bounded length.
std::string quote(std::string_view text);

/// The candidate nearest to `word`, empty when none is near (a third of its letters, at least one,
/// changed).
std::string nearest(std::string_view word, std::span<const std::string> candidates);

/// Errors of one file, in order of discovery. Memory is bounded: past kMostErrors the rest is only
/// counted.
class Report {
 public:
  static constexpr size_t kMostErrors = 100;

  explicit Report(std::string file) : file_(std::move(file)) {}

  void add(Mark mark, std::string key, std::string found, std::string wanted, std::string hint = "");
  bool full() const { return errors_.size() >= kMostErrors; }
  bool empty() const { return errors_.empty(); }
  const std::string& file() const { return file_; }

  /// The errors by line and column; a last one says how many were left out.
  ConfigErrors take();

 private:
  std::string file_;
  ConfigErrors errors_;
  size_t left_out_ = 0;
};

}  // namespace sky
