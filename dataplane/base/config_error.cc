#include "dataplane/base/config_error.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <tuple>

namespace sky {
namespace {

constexpr size_t kMostQuoted = 60;
constexpr size_t kMostShown = 400;    ///< of a key, which may be text from the file
constexpr size_t kMostCompared = 64;  ///< longer words are not typing errors of ours

/// Edit distance where swapping two neighbours counts as one (optimal string alignment).
size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> before(b.size() + 1), last(b.size() + 1), row(b.size() + 1);
  std::iota(last.begin(), last.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replaced = last[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      row[j] = std::min({replaced, last[j] + 1, row[j - 1] + 1});
      const bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (swapped) row[j] = std::min(row[j], before[j - 2] + 1);
    }
    before.swap(last);
    last.swap(row);
  }
  return last[b.size()];
}

/// Shows C0 and C1 control characters (U+0000 to U+001F, U+007F to U+009F in UTF-8) as \xNN.
std::string escaped(std::string_view text) {
  std::string out;
  unsigned char before = 0;
  for (const unsigned char c : text) {
    const bool c1 = before == 0xc2 && c < 0xa0;
    if (c < 0x20 || c == 0x7f || c1) {
      out += fmt::format("\\x{:02x}", c);
    } else {
      out += static_cast<char>(c);
    }
    before = c;
  }
  return out;
}

/// At most `most` bytes of text, never half a character.
std::string cut(std::string_view text, size_t most) {
  if (text.size() <= most) return std::string(text);
  while (most > 0 && (text[most] & 0xc0) == 0x80) --most;
  return std::string(text.substr(0, most)) + "...";
}

}  // namespace

std::string quote(std::string_view text) {
  return '"' + cut(text, kMostQuoted) + '"';
}

std::string nearest(std::string_view word, std::span<const std::string> candidates) {
  if (word.size() > kMostCompared) return {};
  std::string best;
  size_t least = std::max<size_t>(1, word.size() / 3) + 1;
  for (const std::string& candidate : candidates) {
    if (candidate.size() > kMostCompared) continue;
    const size_t distance = edit_distance(word, candidate);
    if (distance < least) {
      least = distance;
      best = candidate;
    }
  }
  return best;
}

std::string to_string(const ConfigError& error) {
  auto line = fmt::format("{}:{}:{} {}: found {}, wanted {}", error.file, error.mark.line, error.mark.column, error.key,
                          error.found, error.wanted);
  if (!error.hint.empty()) line += fmt::format("; did you mean {}?", quote(error.hint));
  return escaped(line);
}

std::string to_string(const ConfigErrors& errors) {
  std::string lines;
  for (const ConfigError& error : errors) lines += to_string(error) + '\n';
  return lines;
}

void Report::add(Mark mark, std::string key, std::string found, std::string wanted, std::string hint) {
  if (full()) {
    ++left_out_;
    return;
  }
  errors_.push_back({file_, mark, key.empty() ? "file" : cut(key, kMostShown), cut(found, kMostShown),
                     std::move(wanted), std::move(hint)});
}

ConfigErrors Report::take() {
  std::ranges::sort(errors_, {}, [](const ConfigError& error) {
    return std::tuple(error.mark.line, error.mark.column, std::string_view(error.key), std::string_view(error.wanted));
  });
  if (left_out_ > 0) {
    errors_.push_back({file_, errors_.back().mark, "file", fmt::format("{} more errors", left_out_), "none", ""});
  }
  return std::move(errors_);
}

}  // namespace sky
