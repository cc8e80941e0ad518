// The one AEAD operation of a frame, as its opening and its sealing have it.
#pragma once

#include <cstring>

#include "dataplane/batch.h"
#include "dataplane/crypto/aead.h"
#include "dataplane/crypto/key_slot.h"
#include "dataplane/stages/context.h"

namespace sky::dataplane {

/// Under that key, of `length` bytes behind the tag, for a frame whose header is written; `lane_counter` is what stands
/// there.
inline void make_link_op(const KeySlot& key, uint8_t* data, uint32_t length, Be64 lane_counter, AeadOp& op) noexcept {
  op.key = &key.key;
  op.data = data + kLinkOverhead;
  op.tag = link_tag(data);
  op.associated = data;
  op.length = length;
  op.associated_length = sizeof(LinkHeader);
  op.suite = key.suite;
  std::memcpy(op.nonce.data(), key.salt.data(), sizeof(Salt));
  std::memcpy(op.nonce.data() + sizeof(Salt), &lane_counter, sizeof(lane_counter));
}

}  // namespace sky::dataplane
