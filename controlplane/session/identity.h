// A node's keys for handshakes: its Ed25519 identity and the X25519 pair that follows from it by libsodium's
// conversion. Cost: two scalar multiplications when made. The secret is wiped when dropped.
#pragma once

#include "controlplane/session/noise.h"
#include "dataplane/base/ids.h"

namespace sky::controlplane {

/// The X25519 key of an Ed25519 key; fails when it is no point of the curve's main subgroup.
Result<noise::PublicDh> dh_key_of(const PublicKey& key);

struct Identity {
  PublicKey key;      ///< Ed25519
  noise::KeyPair dh;  ///< Noise's static pair

  /// seed[32]: the node's secret key as it is stored.
  static Identity from_seed(std::span<const uint8_t, 32> seed);
};

}  // namespace sky::controlplane
