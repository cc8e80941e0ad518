// Noise_IKpsk2_25519_ChaChaPoly_SHA512 (The Noise Protocol Framework, revision 34), unmodified and nothing else:
//
//   <- s                                   the initiator knows the responder's static key beforehand
//   -> e, es, s, ss                        message 1: 32 + 48 + payload + 16 bytes
//   <- e, ee, se, psk                      message 2: 32 + payload + 16 bytes
//
// On entry: libsodium is initialised. Shared secrets that are all zero are refused. After an error a HandshakeState is
// spoilt: read on a copy and keep the original. Reading message 1 is split, so that whoever holds the shared secret of
// both static keys (`ss`, which does not change) authenticates it at the price of one key agreement (`es`).
// Cost: an agreement is about 36 us; no allocation but for error text. Every secret is wiped when dropped.
// Misuse (a step out of turn, a buffer of another size) is a programmer's error: assert.
#pragma once

#include <array>
#include <cstdint>

#include "controlplane/session/secret.h"
#include "dataplane/base/result.h"

namespace sky::controlplane::noise {

inline constexpr size_t kDhBytes = 32;
inline constexpr size_t kSealBytes = 16;                                    ///< what a seal adds
inline constexpr size_t kIdentityBytes = kDhBytes + kDhBytes + kSealBytes;  ///< message 1 before its payload

using PublicDh = std::array<uint8_t, kDhBytes>;  ///< X25519
using SecretDh = Secret<kDhBytes>;
using Hash = std::array<uint8_t, 64>;
using ChainKey = Secret<64>;

struct KeyPair {
  SecretDh secret;
  PublicDh public_key{};

  static KeyPair from_secret(const SecretDh& secret);
};

/// X25519; fails when the result is all zero, as it is for a key of small order.
Result<SecretDh> agree(const SecretDh& own, const PublicDh& peer);

/// ChaCha20-Poly1305 with a counting nonce.
class CipherState {
 public:
  void set_key(const Secret<32>& key);
  /// plain[n] -> out[n + 16]
  void seal(ByteView associated, ByteView plain, ByteSpan out);
  /// sealed[n + 16] -> out[n]; false and nothing changed when the tag does not hold
  [[nodiscard]] bool open(ByteView associated, ByteView sealed, ByteSpan out);

 private:
  std::array<uint8_t, 12> next_nonce() const;

  Secret<32> key_;
  uint64_t nonce_ = 0;
};

/// The two outputs of Split().
struct TransportKeys {
  Secret<32> initiator_to_responder;
  Secret<32> responder_to_initiator;
};

class SymmetricState {
 public:
  explicit SymmetricState(ByteView prologue);
  void mix_hash(ByteView data);
  void mix_key(const SecretDh& shared);
  /// A public key where a pre-shared key is in play: it goes into the hash and into the chain.
  void mix_ephemeral(const PublicDh& key);
  void mix_key_and_hash(const Secret<32>& pre_shared);
  void encrypt_and_hash(ByteView plain, ByteSpan out);
  [[nodiscard]] bool decrypt_and_hash(ByteView sealed, ByteSpan out);
  TransportKeys split() const;
  const Hash& hash() const { return hash_; }

 private:
  void mix_key_bytes(ByteView input);

  Hash hash_{};
  ChainKey chain_;
  CipherState cipher_;
};

class HandshakeState {
 public:
  static HandshakeState initiator(ByteView prologue, const KeyPair& own, const PublicDh& peer);
  static HandshakeState responder(ByteView prologue, const KeyPair& own);

  /// out[96 + payload]; `static_shared` is agree(own static, peer static).
  Result<> write_initiation(const KeyPair& ephemeral, const SecretDh& static_shared, ByteView payload, ByteSpan out);
  /// in[80]: who claims to speak (`peer_static`); proven only by read_payload.
  Result<> read_identity(ByteView in);
  /// in[n + 16] -> payload[n]: afterwards the initiator's static key is authentic, though perhaps replayed.
  Result<> read_payload(const SecretDh& static_shared, ByteView in, ByteSpan payload);
  /// out[48 + payload]
  Result<> write_response(const KeyPair& ephemeral, const Secret<32>& pre_shared, ByteView payload, ByteSpan out);
  /// in[48 + n] -> payload[n]
  Result<> read_response(const Secret<32>& pre_shared, ByteView in, ByteSpan payload);

  /// After message 2.
  TransportKeys split() const;
  const Hash& hash() const { return symmetric_.hash(); }
  const PublicDh& peer_static() const { return peer_static_; }

 private:
  enum class Next : uint8_t { write_initiation, read_identity, read_payload, write_response, read_response, done };

  HandshakeState(ByteView prologue, const KeyPair& own, Next next) : symmetric_(prologue), own_(own), next_(next) {}
  Result<> mix_agreement(const SecretDh& secret, const PublicDh& key);

  SymmetricState symmetric_;
  KeyPair own_;
  KeyPair ephemeral_;
  PublicDh peer_static_{};
  PublicDh peer_ephemeral_{};
  Next next_;
};

}  // namespace sky::controlplane::noise
