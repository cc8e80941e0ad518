// Hexadecimal text to bytes, for published vectors.
#pragma once

#include <sodium.h>

#include <algorithm>
#include <array>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace sky::controlplane {

inline std::vector<uint8_t> from_hex(std::string_view text) {
  std::vector<uint8_t> out(text.size() / 2);
  size_t length = 0;
  if (sodium_hex2bin(out.data(), out.size(), text.data(), text.size(), nullptr, &length, nullptr) != 0 ||
      length * 2 != text.size()) {
    throw std::runtime_error("not hexadecimal: " + std::string(text));
  }
  return out;
}

template <size_t N>
std::array<uint8_t, N> array_from_hex(std::string_view text) {
  const auto bytes = from_hex(text);
  if (bytes.size() != N) throw std::runtime_error("wrong length: " + std::string(text));
  std::array<uint8_t, N> out;
  std::ranges::copy(bytes, out.begin());
  return out;
}

}  // namespace sky::controlplane
