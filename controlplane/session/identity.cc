#include "controlplane/session/identity.h"

namespace sky::controlplane {

Result<noise::PublicDh> dh_key_of(const PublicKey& key) {
  noise::PublicDh converted;
  if (crypto_sign_ed25519_pk_to_curve25519(converted.data(), key.data()) != 0) {
    return fail("public key: found 32 bytes that are no Ed25519 key, wanted a point of its main subgroup");
  }
  return converted;
}

Identity Identity::from_seed(std::span<const uint8_t, 32> seed) {
  Identity identity{};
  Secret<crypto_sign_SECRETKEYBYTES> signing;
  crypto_sign_seed_keypair(identity.key.data(), signing.bytes().data(), seed.data());
  noise::SecretDh secret;
  crypto_sign_ed25519_sk_to_curve25519(secret.bytes().data(), signing.bytes().data());
  identity.dh = noise::KeyPair::from_secret(secret);
  return identity;
}

}  // namespace sky::controlplane
