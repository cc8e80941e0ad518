// The limit of forward and ingress: the same AEAD calls over the same bytes under the same keys, and nothing else.
#pragma once

#include <array>
#include <cstring>

#include "dataplane/batch.h"
#include "dataplane/crypto/aead.h"
#include "dataplane/crypto/key_slot.h"

namespace sky::perf {

/// What is sealed or opened in place, and its 16 associated bytes.
struct RawOp {
  uint8_t* data;
  size_t length;
  uint8_t* tag;
  const uint8_t* associated;
  Be64 nonce_word;

  dataplane::AeadOp under(const dataplane::KeySlot& key) const {
    dataplane::AeadOp op{.key = &key.key,
                         .data = data,
                         .tag = tag,
                         .associated = associated,
                         .length = static_cast<uint32_t>(length),
                         .associated_length = 16,
                         .suite = key.suite,
                         .authentic = false,
                         .nonce = {}};
    std::memcpy(op.nonce.data(), key.salt.data(), sizeof(key.salt));
    std::memcpy(op.nonce.data() + sizeof(key.salt), &nonce_word, sizeof(nonce_word));
    return op;
  }
};

/// Those of one burst, at most one for each packet.
struct RawOps {
  unsigned count = 0;
  std::array<dataplane::AeadOp, dataplane::kBurst> ops;

  void add(const dataplane::AeadOp& op) { ops[count++] = op; }
  std::span<dataplane::AeadOp> all() { return {ops.data(), count}; }
};

}  // namespace sky::perf
