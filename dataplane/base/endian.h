// Integers that carry their byte order: Be16, Be32, Be64 are what stands on the wire, unaligned, and convert
// explicitly. Wire structs are built of these alone, so that a struct has no padding and no alignment.
#pragma once

#include <bit>
#include <concepts>
#include <cstdint>
#include <cstring>

namespace sky {

template <std::unsigned_integral T>
constexpr T byte_swap(T value) {
  if constexpr (sizeof(T) == 1) return value;
  if constexpr (sizeof(T) == 2) return __builtin_bswap16(value);
  if constexpr (sizeof(T) == 4) return __builtin_bswap32(value);
  if constexpr (sizeof(T) == 8) return __builtin_bswap64(value);
}

static_assert(std::endian::native == std::endian::little, "Skyedge runs on little-endian machines");

/// A big-endian unsigned integer, `sizeof(T)` bytes, alignment 1.
template <std::unsigned_integral T>
class Be {
 public:
  Be() = default;
  constexpr explicit Be(T value) : raw_(byte_swap(value)) {}
  constexpr T get() const { return byte_swap(raw_); }
  constexpr bool operator==(const Be&) const = default;

 private:
  T raw_;
} __attribute__((packed));

using Be16 = Be<uint16_t>;
using Be32 = Be<uint32_t>;
using Be64 = Be<uint64_t>;

static_assert(sizeof(Be64) == 8 && alignof(Be64) == 1);

}  // namespace sky
