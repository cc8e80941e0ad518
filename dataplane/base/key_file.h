// Secret keys at rest: one line of base64 in a file that only its owner can read (mode 0600), an
// Ed25519 seed or a pre-shared key. A file that others can read is refused, with the command that
// mends it.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "dataplane/base/ids.h"
#include "dataplane/base/result.h"

namespace sky {

/// 32 secret bytes, zeroed when dropped or moved from. Never copied, never logged.
class SecretKey {
 public:
  SecretKey() = default;
  SecretKey(SecretKey&& other) noexcept;
  SecretKey& operator=(SecretKey&& other) noexcept;
  ~SecretKey();

  std::array<uint8_t, 32>& bytes() { return bytes_; }
  const std::array<uint8_t, 32>& bytes() const { return bytes_; }

 private:
  std::array<uint8_t, 32> bytes_{};
};

Result<SecretKey> read_secret_key(const std::string& path);

/// Makes the file; one that exists is never overwritten.
Result<> write_secret_key(const std::string& path, const SecretKey& key);

/// Random, from the kernel.
Result<SecretKey> generate_secret_key();

/// The Ed25519 public key of a seed.
PublicKey public_key_of(const SecretKey& seed);

}  // namespace sky
