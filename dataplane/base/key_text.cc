#include "dataplane/base/key_text.h"

#include <sodium.h>

namespace sky {
namespace {

constexpr int kVariant = sodium_base64_VARIANT_ORIGINAL;

}  // namespace

static_assert(sodium_base64_ENCODED_LEN(32, kVariant) == std::tuple_size_v<KeyText>);

bool decode_key(std::string_view text, std::array<uint8_t, 32>& key) {
  size_t size = 0;
  const int status =
      sodium_base642bin(key.data(), key.size(), text.data(), text.size(), nullptr, &size, nullptr, kVariant);
  return status == 0 && size == key.size();
}

void encode_key(const std::array<uint8_t, 32>& key, KeyText& text) {
  sodium_bin2base64(text.data(), text.size(), key.data(), key.size(), kVariant);
}

Result<PublicKey> parse_public_key(std::string_view text) {
  PublicKey key;
  if (!decode_key(text, key)) return fail("32 bytes in base64 (44 characters)");
  if (crypto_core_ed25519_is_valid_point(key.data()) != 1) {
    return fail("an Ed25519 public key (these 32 bytes are no point of its group)");
  }
  return key;
}

std::string format_key(const PublicKey& key) {
  KeyText text;
  encode_key(key, text);
  return text.data();
}

}  // namespace sky
