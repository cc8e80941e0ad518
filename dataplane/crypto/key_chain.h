// One direction's keys, epoch after epoch, out of one 32-byte chain secret. Each step derives the
// epoch's key and salt and the next chain value, then wipes the old value: who reads the memory
// later cannot compute an earlier key. Owned by the main core. Cost: three BLAKE2b calls a step, no
// allocation. Source: docs/protocol.md, "Keys"; libsodium's crypto_kdf with context "skychain":
// subkey 1 is the key (32 bytes), the first 4 bytes of subkey 2 (16 bytes) are the salt, subkey 3
// (32 bytes) is the next chain value.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace sky::dataplane {

inline constexpr size_t kChainSecretBytes = 32;
using Salt = std::array<uint8_t, 4>;

/// What one epoch needs. Every copy is wiped when it goes out of scope.
struct EpochKey {
  std::array<uint8_t, 32> key{};
  Salt salt{};

  ~EpochKey();
};

class KeyChain {
 public:
  KeyChain() = default;
  KeyChain(const KeyChain&) = delete;
  KeyChain& operator=(const KeyChain&) = delete;
  ~KeyChain() { wipe(); }

  void start(std::span<const uint8_t, kChainSecretBytes> secret) noexcept;
  /// The next epoch's key and salt, from epoch 0 on. Only after start().
  EpochKey next() noexcept;
  void wipe() noexcept;

 private:
  std::array<uint8_t, kChainSecretBytes> secret_{};
};

}  // namespace sky::dataplane
