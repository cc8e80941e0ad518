#include "dataplane/base/units.h"

#include <charconv>
#include <span>

namespace sky {
namespace {

struct Unit {
  std::string_view name;
  uint64_t factor;
};

constexpr Unit kDurations[] = {{"ns", 1},        {"us", kMicrosecondNs}, {"ms", kMillisecondNs},
                               {"s", kSecondNs}, {"min", kMinuteNs},     {"h", kHourNs}};
constexpr Unit kSizes[] = {
    {"B", 1}, {"KiB", 1ull << 10}, {"MiB", 1ull << 20}, {"GiB", 1ull << 30}, {"TiB", 1ull << 40}};
constexpr Unit kRates[] = {{"k", 1'000}, {"M", 1'000'000}, {"G", 1'000'000'000}, {"T", 1'000'000'000'000}};

Result<uint64_t> parse_quantity(std::string_view text, std::span<const Unit> units, std::string_view wanted) {
  uint64_t number = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, number);
  if (error == std::errc{}) {
    for (const Unit& unit : units) {
      uint64_t value = 0;
      if (unit.name != std::string_view(stop, end)) continue;
      if (!__builtin_mul_overflow(number, unit.factor, &value)) return value;
    }
  }
  return fail("{}", wanted);
}

std::string format_quantity(uint64_t value, std::span<const Unit> units) {
  const Unit* best = &units.front();
  for (const Unit& unit : units) {
    if (value != 0 && value % unit.factor == 0) best = &unit;
  }
  return fmt::format("{}{}", value / best->factor, best->name);
}

}  // namespace

Result<uint64_t> parse_duration_ns(std::string_view text) {
  return parse_quantity(text, kDurations, "a duration such as 20ms, 2s, 10min or 24h");
}

Result<uint64_t> parse_size_bytes(std::string_view text) {
  return parse_quantity(text, kSizes, "a size such as 1MiB or 256GiB");
}

Result<uint64_t> parse_rate_bps(std::string_view text) {
  return parse_quantity(text, kRates, "a rate in bits a second such as 100M or 10G");
}

Result<uint64_t> parse_integer(std::string_view text) {
  const bool hex = text.starts_with("0x");
  const auto digits = hex ? text.substr(2) : text;
  const bool octal = !hex && digits.size() > 1 && digits[0] == '0';
  uint64_t value = 0;
  const char* end = digits.data() + digits.size();
  const auto [stop, error] = std::from_chars(digits.data(), end, value, hex ? 16 : 10);
  if (octal || error != std::errc{} || stop != end) return fail("an integer");
  return value;
}

std::string format_duration_ns(uint64_t value_ns) {
  return value_ns == 0 ? "0s" : format_quantity(value_ns, kDurations);
}
std::string format_size_bytes(uint64_t value_bytes) {
  return format_quantity(value_bytes, kSizes);
}
std::string format_rate_bps(uint64_t value_bps) {
  return value_bps < 1000 ? fmt::format("{}", value_bps) : format_quantity(value_bps, kRates);
}

}  // namespace sky
