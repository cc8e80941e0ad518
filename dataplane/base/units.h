// Quantities with their unit in the text: 20ms, 256GiB, 10G. A bare number is refused: no one has
// to guess. Each parser fails with what it wanted. Cost: one pass, an allocation only on failure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "dataplane/base/result.h"

namespace sky {

inline constexpr uint64_t kMicrosecondNs = 1'000;
inline constexpr uint64_t kMillisecondNs = 1'000 * kMicrosecondNs;
inline constexpr uint64_t kSecondNs = 1'000 * kMillisecondNs;
inline constexpr uint64_t kMinuteNs = 60 * kSecondNs;
inline constexpr uint64_t kHourNs = 60 * kMinuteNs;

Result<uint64_t> parse_duration_ns(std::string_view text);  ///< ns, us, ms, s, min, h
Result<uint64_t> parse_size_bytes(std::string_view text);   ///< B, KiB, MiB, GiB, TiB
Result<uint64_t> parse_rate_bps(std::string_view text);     ///< bits a second: k, M, G, T
Result<uint64_t> parse_integer(std::string_view text);      ///< decimal, or hexadecimal with 0x

/// In the largest unit that needs no fraction: 1500ms, 2s.
std::string format_duration_ns(uint64_t value_ns);
std::string format_size_bytes(uint64_t value_bytes);
std::string format_rate_bps(uint64_t value_bps);

}  // namespace sky
