#include "controlplane/session/noise.h"

#include <cassert>
#include <cstring>
#include <initializer_list>
#include <string_view>

namespace sky::controlplane::noise {
namespace {

constexpr std::string_view kProtocolName = "Noise_IKpsk2_25519_ChaChaPoly_SHA512";
static_assert(kProtocolName.size() <= sizeof(Hash), "a longer name would have to be hashed");

ChainKey hmac(const ChainKey& key, std::initializer_list<ByteView> parts) {
  crypto_auth_hmacsha512_state state;
  crypto_auth_hmacsha512_init(&state, key.bytes().data(), key.bytes().size());
  for (const ByteView part : parts) {
    crypto_auth_hmacsha512_update(&state, part.data(), part.size());
  }
  ChainKey out;
  crypto_auth_hmacsha512_final(&state, out.bytes().data());
  sodium_memzero(&state, sizeof state);
  return out;
}

/// HKDF of section 4.3: chain[64], input[n] -> out[N][64].
template <size_t N>
std::array<ChainKey, N> hkdf(const ChainKey& chain, ByteView input) {
  const ChainKey extracted = hmac(chain, {input});
  std::array<ChainKey, N> out;
  for (size_t i = 0; i < N; ++i) {
    const uint8_t number = static_cast<uint8_t>(i + 1);
    const ByteView previous = i == 0 ? ByteView{} : ByteView{out[i - 1].bytes()};
    out[i] = hmac(extracted, {previous, ByteView{&number, 1}});
  }
  return out;
}

template <size_t N>
void copy_to(ByteSpan out, const std::array<uint8_t, N>& bytes) {
  std::ranges::copy(bytes, out.begin());
}

}  // namespace

KeyPair KeyPair::from_secret(const SecretDh& secret) {
  KeyPair pair{.secret = secret};
  crypto_scalarmult_base(pair.public_key.data(), secret.bytes().data());
  return pair;
}

Result<SecretDh> agree(const SecretDh& own, const PublicDh& peer) {
  SecretDh shared;
  if (crypto_scalarmult(shared.bytes().data(), own.bytes().data(), peer.data()) != 0) {
    return fail("key agreement: found a public key of small order, wanted an X25519 public key");
  }
  return shared;
}

void CipherState::set_key(const Secret<32>& key) {
  key_ = key;
  nonce_ = 0;
}

std::array<uint8_t, 12> CipherState::next_nonce() const {
  std::array<uint8_t, 12> nonce{};  // four zero bytes, then the counter, little-endian
  std::memcpy(nonce.data() + 4, &nonce_, sizeof nonce_);
  return nonce;
}

void CipherState::seal(ByteView associated, ByteView plain, ByteSpan out) {
  assert(out.size() == plain.size() + kSealBytes);
  const auto nonce = next_nonce();
  crypto_aead_chacha20poly1305_ietf_encrypt(out.data(), nullptr, plain.data(), plain.size(), associated.data(),
                                            associated.size(), nullptr, nonce.data(), key_.bytes().data());
  ++nonce_;
}

bool CipherState::open(ByteView associated, ByteView sealed, ByteSpan out) {
  assert(sealed.size() == out.size() + kSealBytes);
  const auto nonce = next_nonce();
  if (crypto_aead_chacha20poly1305_ietf_decrypt(out.data(), nullptr, nullptr, sealed.data(), sealed.size(),
                                                associated.data(), associated.size(), nonce.data(),
                                                key_.bytes().data()) != 0) {
    return false;
  }
  ++nonce_;
  return true;
}

SymmetricState::SymmetricState(ByteView prologue) {
  std::ranges::copy(kProtocolName, hash_.begin());
  chain_ = ChainKey(std::span<const uint8_t, 64>(hash_));
  mix_hash(prologue);
}

void SymmetricState::mix_hash(ByteView data) {
  crypto_hash_sha512_state state;
  crypto_hash_sha512_init(&state);
  crypto_hash_sha512_update(&state, hash_.data(), hash_.size());
  crypto_hash_sha512_update(&state, data.data(), data.size());
  crypto_hash_sha512_final(&state, hash_.data());
}

void SymmetricState::mix_key_bytes(ByteView input) {
  auto [chain, key] = hkdf<2>(chain_, input);
  chain_ = std::move(chain);
  cipher_.set_key(key.first<32>());
}

void SymmetricState::mix_key(const SecretDh& shared) {
  mix_key_bytes(shared.bytes());
}

void SymmetricState::mix_ephemeral(const PublicDh& key) {
  mix_hash(key);
  mix_key_bytes(key);
}

void SymmetricState::mix_key_and_hash(const Secret<32>& pre_shared) {
  auto [chain, hash, key] = hkdf<3>(chain_, pre_shared.bytes());
  chain_ = std::move(chain);
  mix_hash(hash.bytes());
  cipher_.set_key(key.first<32>());
}

void SymmetricState::encrypt_and_hash(ByteView plain, ByteSpan out) {
  cipher_.seal(hash_, plain, out);
  mix_hash(out);
}

bool SymmetricState::decrypt_and_hash(ByteView sealed, ByteSpan out) {
  if (!cipher_.open(hash_, sealed, out)) return false;
  mix_hash(sealed);
  return true;
}

TransportKeys SymmetricState::split() const {
  const auto [first, second] = hkdf<2>(chain_, {});
  return {.initiator_to_responder = first.first<32>(), .responder_to_initiator = second.first<32>()};
}

HandshakeState HandshakeState::initiator(ByteView prologue, const KeyPair& own, const PublicDh& peer) {
  HandshakeState state(prologue, own, Next::write_initiation);
  state.peer_static_ = peer;
  state.symmetric_.mix_hash(peer);
  return state;
}

HandshakeState HandshakeState::responder(ByteView prologue, const KeyPair& own) {
  HandshakeState state(prologue, own, Next::read_identity);
  state.symmetric_.mix_hash(own.public_key);
  return state;
}

Result<> HandshakeState::mix_agreement(const SecretDh& secret, const PublicDh& key) {
  const auto shared = agree(secret, key);
  if (!shared) return std::unexpected(shared.error());
  symmetric_.mix_key(*shared);
  return {};
}

Result<> HandshakeState::write_initiation(const KeyPair& ephemeral, const SecretDh& static_shared, ByteView payload,
                                          ByteSpan out) {
  assert(next_ == Next::write_initiation && out.size() == kIdentityBytes + payload.size() + kSealBytes);
  next_ = Next::read_response;
  ephemeral_ = ephemeral;
  copy_to(out, ephemeral_.public_key);
  symmetric_.mix_ephemeral(ephemeral_.public_key);
  if (auto mixed = mix_agreement(ephemeral_.secret, peer_static_); !mixed) return mixed;  // es
  symmetric_.encrypt_and_hash(own_.public_key, out.subspan(kDhBytes, kDhBytes + kSealBytes));
  symmetric_.mix_key(static_shared);  // ss
  symmetric_.encrypt_and_hash(payload, out.subspan(kIdentityBytes));
  return {};
}

Result<> HandshakeState::read_identity(ByteView in) {
  assert(next_ == Next::read_identity && in.size() == kIdentityBytes);
  next_ = Next::read_payload;
  std::ranges::copy(in.first(kDhBytes), peer_ephemeral_.begin());
  symmetric_.mix_ephemeral(peer_ephemeral_);
  if (auto mixed = mix_agreement(own_.secret, peer_ephemeral_); !mixed) return mixed;  // es
  if (!symmetric_.decrypt_and_hash(in.subspan(kDhBytes), peer_static_)) {
    return fail("handshake message 1: found a sender's key that does not open, wanted one sealed for this node");
  }
  return {};
}

Result<> HandshakeState::read_payload(const SecretDh& static_shared, ByteView in, ByteSpan payload) {
  assert(next_ == Next::read_payload);
  next_ = Next::write_response;
  symmetric_.mix_key(static_shared);  // ss
  if (!symmetric_.decrypt_and_hash(in, payload)) {
    return fail("handshake message 1: found a payload that does not open, wanted one sealed by its sender");
  }
  return {};
}

Result<> HandshakeState::write_response(const KeyPair& ephemeral, const Secret<32>& pre_shared, ByteView payload,
                                        ByteSpan out) {
  assert(next_ == Next::write_response && out.size() == kDhBytes + payload.size() + kSealBytes);
  next_ = Next::done;
  ephemeral_ = ephemeral;
  copy_to(out, ephemeral_.public_key);
  symmetric_.mix_ephemeral(ephemeral_.public_key);
  if (auto mixed = mix_agreement(ephemeral_.secret, peer_ephemeral_); !mixed) return mixed;  // ee
  if (auto mixed = mix_agreement(ephemeral_.secret, peer_static_); !mixed) return mixed;     // se
  symmetric_.mix_key_and_hash(pre_shared);
  symmetric_.encrypt_and_hash(payload, out.subspan(kDhBytes));
  return {};
}

Result<> HandshakeState::read_response(const Secret<32>& pre_shared, ByteView in, ByteSpan payload) {
  assert(next_ == Next::read_response && in.size() == kDhBytes + payload.size() + kSealBytes);
  next_ = Next::done;
  std::ranges::copy(in.first(kDhBytes), peer_ephemeral_.begin());
  symmetric_.mix_ephemeral(peer_ephemeral_);
  if (auto mixed = mix_agreement(ephemeral_.secret, peer_ephemeral_); !mixed) return mixed;  // ee
  if (auto mixed = mix_agreement(own_.secret, peer_ephemeral_); !mixed) return mixed;        // se
  symmetric_.mix_key_and_hash(pre_shared);
  if (!symmetric_.decrypt_and_hash(in.subspan(kDhBytes), payload)) {
    return fail(
        "handshake message 2: found a payload that does not open, wanted the answer of the called key; "
        "check that both ends have the same pre-shared key");
  }
  return {};
}

TransportKeys HandshakeState::split() const {
  assert(next_ == Next::done);
  return symmetric_.split();
}

}  // namespace sky::controlplane::noise
