// 32-byte keys as base64 text (RFC 4648, standard alphabet, padded: 44 characters).
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "dataplane/base/ids.h"
#include "dataplane/base/result.h"

namespace sky {

/// Any 32 bytes; fails with what was wanted. Only the one canonical text of a key is taken.
Result<std::array<uint8_t, 32>> parse_key(std::string_view text);

/// An Ed25519 public key: a canonical point of the main subgroup, so no small-order key passes.
Result<PublicKey> parse_public_key(std::string_view text);

std::string format_key(const std::array<uint8_t, 32>& key);

}  // namespace sky
