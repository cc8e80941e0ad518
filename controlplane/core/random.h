// Where random bytes come from: the core is pure, so chance is a parameter like time. SodiumRandom is for keys and for
// everything an attacker must not guess; SeededRandom gives tests and simulators the same bytes in every run and is
// never a source of keys that protect anything. Neither is shared between threads.
#pragma once

#include <sodium.h>

#include <array>
#include <concepts>
#include <cstdint>
#include <cstdlib>
#include <random>
#include <span>

namespace sky::controlplane {

class Random {
 public:
  virtual ~Random() = default;
  virtual void fill(std::span<uint8_t> bytes) = 0;

  template <std::unsigned_integral T>
  T number() {
    std::array<uint8_t, sizeof(T)> bytes;
    fill(bytes);
    T value = 0;
    for (const uint8_t byte : bytes) value = static_cast<T>(value << 7 << 1 | byte);
    return value;
  }
  /// Any number but 0, which names nothing.
  template <std::unsigned_integral T>
  T nonzero() {
    T value = 0;
    while (value == 0) value = number<T>();
    return value;
  }
};

/// The kernel's generator, by libsodium.
class SodiumRandom final : public Random {
 public:
  SodiumRandom() {
    if (sodium_init() < 0) std::abort();  // no entropy: nothing may go on
  }
  void fill(std::span<uint8_t> bytes) override { randombytes_buf(bytes.data(), bytes.size()); }
};

/// The same bytes for the same seed, on every machine.
class SeededRandom final : public Random {
 public:
  explicit SeededRandom(uint64_t seed) : engine_(seed) {}
  void fill(std::span<uint8_t> bytes) override {
    for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(engine_() >> 56);
  }

 private:
  std::mt19937_64 engine_;
};

}  // namespace sky::controlplane
