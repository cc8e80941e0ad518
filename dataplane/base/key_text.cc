#include "dataplane/base/key_text.h"

#include <sodium.h>

namespace sky {
namespace {

constexpr int kVariant = sodium_base64_VARIANT_ORIGINAL;

}  // namespace

Result<std::array<uint8_t, 32>> parse_key(std::string_view text) {
  std::array<uint8_t, 32> key;
  size_t size = 0;
  const int status = sodium_base642bin(key.data(), key.size(), text.data(), text.size(), nullptr,
                                       &size, nullptr, kVariant);
  if (status != 0 || size != key.size()) return fail("32 bytes in base64 (44 characters)");
  return key;
}

Result<PublicKey> parse_public_key(std::string_view text) {
  const auto key = parse_key(text);
  if (!key) return key;
  if (crypto_core_ed25519_is_valid_point(key->data()) != 1) {
    return fail("an Ed25519 public key (these 32 bytes are no point of its group)");
  }
  return *key;
}

std::string format_key(const std::array<uint8_t, 32>& key) {
  char text[sodium_base64_ENCODED_LEN(32, kVariant)];
  return sodium_bin2base64(text, sizeof text, key.data(), key.size(), kVariant);
}

}  // namespace sky
