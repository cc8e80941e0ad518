// The oracle: libsodium's AEADs behind the dataplane's interface, so that a test can put any burst to both.
#pragma once

#include <sodium.h>

#include <algorithm>

#include "dataplane/crypto/aead.h"

namespace sky::dataplane {

class SodiumEngine final : public AeadEngine {
 public:
  /// False where the CPU lacks what libsodium needs; must be called once before use.
  static bool available() { return sodium_init() >= 0 && crypto_aead_aes256gcm_is_available() == 1; }

  void expand(Suite suite, std::span<const uint8_t, kAeadKeyBytes> key, AeadKey& out) const noexcept override {
    static_assert(sizeof(crypto_aead_aes256gcm_state) <= sizeof(AeadKey));
    if (suite == Suite::aes_256_gcm) {
      crypto_aead_aes256gcm_beforenm(reinterpret_cast<crypto_aead_aes256gcm_state*>(&out), key.data());
    } else {
      std::ranges::copy(key, out.expanded.begin());
    }
  }

  void seal(std::span<AeadOp> ops) noexcept override {
    for (AeadOp& op : ops) {
      if (op.suite == Suite::aes_256_gcm) {
        crypto_aead_aes256gcm_encrypt_detached_afternm(op.data, op.tag, nullptr, op.data, op.length, op.associated,
                                                       op.associated_length, nullptr, op.nonce.data(), state(op));
      } else {
        crypto_aead_chacha20poly1305_ietf_encrypt_detached(op.data, op.tag, nullptr, op.data, op.length, op.associated,
                                                           op.associated_length, nullptr, op.nonce.data(),
                                                           op.key->expanded.data());
      }
      op.authentic = true;
    }
  }

  void open(std::span<AeadOp> ops) noexcept override {
    for (AeadOp& op : ops) {
      const int refused = op.suite == Suite::aes_256_gcm
                              ? crypto_aead_aes256gcm_decrypt_detached_afternm(
                                    op.data, nullptr, op.data, op.length, op.tag, op.associated, op.associated_length,
                                    op.nonce.data(), state(op))
                              : crypto_aead_chacha20poly1305_ietf_decrypt_detached(
                                    op.data, nullptr, op.data, op.length, op.tag, op.associated, op.associated_length,
                                    op.nonce.data(), op.key->expanded.data());
      op.authentic = refused == 0;
    }
  }

 private:
  static const crypto_aead_aes256gcm_state* state(const AeadOp& op) {
    return reinterpret_cast<const crypto_aead_aes256gcm_state*>(op.key);
  }
};

}  // namespace sky::dataplane
