// From the keys of a handshake to the messages that install them.
#pragma once

#include "controlplane/install/planner.h"
#include "controlplane/session/handshake.h"

namespace sky::controlplane {

struct ChainOwner {
  KeyOwner owner;
  uint32_t index;
};

/// One direction of a handshake's keys; the secret is wiped with it.
struct Chain {
  Direction direction;
  uint8_t parity;
  uint64_t key_id;
  Suite suite;
  Secret<32> secret;
  bool wait_for_peer = false;
};

inline Chain receive_chain(const Keys& keys) {
  return {.direction = Direction::receive,
          .parity = keys.ours.parity,
          .key_id = keys.key_id,
          .suite = keys.agreed.suite,
          .secret = keys.rx_chain};
}
inline Chain send_chain(const Keys& keys) {
  return {.direction = Direction::send,
          .parity = keys.theirs.parity,
          .key_id = keys.key_id,
          .suite = keys.agreed.suite,
          .secret = keys.tx_chain};
}

inline void put_chain(Planner& planner, ChainOwner owner, const Chain& chain) {
  KeyChainMessage message{.owner = owner.owner,
                          .direction = chain.direction,
                          .parity = chain.parity,
                          .index = owner.index,
                          .key_id = chain.key_id,
                          .wait_for_peer = chain.wait_for_peer,
                          .suite = chain.suite};
  std::ranges::copy(chain.secret.bytes(), message.secret.begin());
  planner.put_chain(message);
  sodium_memzero(message.secret.data(), message.secret.size());
}

/// Receiving under a handshake's chain has the other parity than under the last final one's.
inline uint8_t next_parity(std::optional<uint8_t> last) {
  return last ? *last ^ 1 : 0;
}

}  // namespace sky::controlplane
