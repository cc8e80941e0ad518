// 32-byte keys as base64 text (RFC 4648, standard alphabet, padded: 44 characters).
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "dataplane/base/ids.h"
#include "dataplane/base/result.h"

namespace sky {

using KeyText = std::array<char, 45>;  ///< with its terminating zero

/// Only the one canonical text of a key is taken. In place, so that a secret leaves no copy behind.
bool decode_key(std::string_view text, std::array<uint8_t, 32>& key);
void encode_key(const std::array<uint8_t, 32>& key, KeyText& text);

/// An Ed25519 public key: a canonical point of the main subgroup, so no small-order key passes.
Result<PublicKey> parse_public_key(std::string_view text);

std::string format_key(const PublicKey& key);

}  // namespace sky
