// Secret<N>: N bytes that are zeroed when dropped and when moved from. Equality takes the same time whatever differs.
// A copy is a second secret with its own end; nothing prints one.
#pragma once

#include <sodium.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace sky::controlplane {

using ByteView = std::span<const uint8_t>;
using ByteSpan = std::span<uint8_t>;

template <size_t N>
class Secret {
 public:
  Secret() = default;  ///< all zero
  explicit Secret(std::span<const uint8_t, N> bytes) { std::ranges::copy(bytes, bytes_.begin()); }
  Secret(const Secret&) = default;
  Secret& operator=(const Secret&) = default;
  Secret(Secret&& other) noexcept : bytes_(other.bytes_) { other.wipe(); }
  Secret& operator=(Secret&& other) noexcept {
    if (this == &other) return *this;
    bytes_ = other.bytes_;
    other.wipe();
    return *this;
  }
  ~Secret() { wipe(); }

  void wipe() { sodium_memzero(bytes_.data(), N); }
  std::span<uint8_t, N> bytes() { return bytes_; }
  std::span<const uint8_t, N> bytes() const { return bytes_; }
  /// The first M bytes, as a secret of their own: how Noise shortens a hash to a key.
  template <size_t M>
  Secret<M> first() const {
    static_assert(M <= N);
    return Secret<M>(bytes().template first<M>());
  }
  bool operator==(const Secret& other) const { return sodium_memcmp(bytes_.data(), other.bytes_.data(), N) == 0; }

 private:
  std::array<uint8_t, N> bytes_{};
};

}  // namespace sky::controlplane
