// One line on standard error with the syslog level that journald reads (`<3>`, sd-daemon(3)). Never on a worker.
#pragma once

#include <fmt/format.h>

#include <cstdio>
#include <string>
#include <utility>

namespace sky {

enum class LogLevel { error = 3, warning = 4, info = 6, debug = 7 };

inline void log_line(LogLevel level, const std::string& text) {
  const std::string line = fmt::format("<{}>{}\n", static_cast<int>(level), text);
  // Nobody may be reading: that ends no router.
  [[maybe_unused]] const size_t written = std::fwrite(line.data(), 1, line.size(), stderr);
}

template <typename... Args>
void log_error(fmt::format_string<Args...> format, Args&&... args) {
  log_line(LogLevel::error, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void log_warning(fmt::format_string<Args...> format, Args&&... args) {
  log_line(LogLevel::warning, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void log_info(fmt::format_string<Args...> format, Args&&... args) {
  log_line(LogLevel::info, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace sky
