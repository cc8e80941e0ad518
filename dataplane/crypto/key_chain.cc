#include "dataplane/crypto/key_chain.h"

#include <sodium.h>

#include <algorithm>

namespace sky::dataplane {
namespace {

constexpr char kContext[crypto_kdf_CONTEXTBYTES + 1] = "skychain";
enum Subkey : uint64_t { kKey = 1, kSalt = 2, kNextSecret = 3 };

static_assert(kChainSecretBytes == crypto_kdf_KEYBYTES);

void derive(std::span<uint8_t> out, Subkey subkey, const uint8_t* secret) {
  // Fails only for sizes out of range, and all of ours are constants within it.
  crypto_kdf_derive_from_key(out.data(), out.size(), subkey, kContext, secret);
}

}  // namespace

EpochKey::~EpochKey() {
  sodium_memzero(key.data(), key.size());
  sodium_memzero(salt.data(), salt.size());
}

void KeyChain::start(std::span<const uint8_t, kChainSecretBytes> secret) noexcept {
  std::ranges::copy(secret, secret_.begin());
}

EpochKey KeyChain::next() noexcept {
  EpochKey epoch;
  std::array<uint8_t, crypto_kdf_BYTES_MIN> long_salt;
  std::array<uint8_t, kChainSecretBytes> next_secret;
  derive(epoch.key, kKey, secret_.data());
  derive(long_salt, kSalt, secret_.data());
  derive(next_secret, kNextSecret, secret_.data());
  std::copy_n(long_salt.begin(), epoch.salt.size(), epoch.salt.begin());
  secret_ = next_secret;
  sodium_memzero(long_salt.data(), long_salt.size());
  sodium_memzero(next_secret.data(), next_secret.size());
  return epoch;
}

void KeyChain::wipe() noexcept {
  sodium_memzero(secret_.data(), secret_.size());
}

}  // namespace sky::dataplane
