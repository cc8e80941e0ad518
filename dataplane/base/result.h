// Result<T>: the cold path's way to fail. An Error is one sentence for an operator: what was found, what was wanted,
// where. Hot paths use verdicts instead (dataplane/verdict.h).
#pragma once

#include <fmt/format.h>

#include <expected>
#include <string>
#include <utility>

namespace sky {

struct Error {
  std::string message;
};

template <typename T = void>
using Result = std::expected<T, Error>;

/// Builds the failure half of a Result: `return fail("{}: found {}, wanted {}", where, found, wanted);`
template <typename... Args>
std::unexpected<Error> fail(fmt::format_string<Args...> format, Args&&... args) {
  return std::unexpected(Error{fmt::format(format, std::forward<Args>(args)...)});
}

}  // namespace sky
