// Handshake messages of a peer that has its keys and says under the seal whatever the fuzzer wants.
#pragma once

#include "controlplane/core/random.h"
#include "controlplane/session/identity.h"
#include "controlplane/session/message.h"

namespace sky::fuzz {

namespace cp = controlplane;

inline cp::noise::KeyPair fresh_pair(cp::Random& random) {
  cp::noise::SecretDh secret;
  random.fill(secret.bytes());
  return cp::noise::KeyPair::from_secret(secret);
}

/// Empty where the two keys do not agree on anything.
inline cp::Bytes forge_initiation(const cp::Identity& from, const cp::noise::PublicDh& to, const cp::Prologue& prologue,
                                  std::span<const uint8_t, cp::kTermsBytes> terms, uint32_t sender,
                                  cp::Random& random) {
  cp::InitiationMessage message{.sender = Be32(sender)};
  auto state = cp::noise::HandshakeState::initiator(prologue.bytes(), from.dh, to);
  const auto shared = cp::noise::agree(from.dh.secret, to);
  if (!shared || !state.write_initiation(fresh_pair(random), *shared, terms, message.body)) return {};
  cp::Bytes bytes = cp::to_bytes(message);
  cp::write_macs(bytes, cp::MacKeys::of(to), {});
  return bytes;
}

/// The answer to an initiation for `from`; empty when it does not open.
inline cp::Bytes forge_response(const cp::Identity& from, const cp::noise::PublicDh& to, const cp::Prologue& prologue,
                                cp::ByteView initiation, std::span<const uint8_t, cp::kTermsBytes> terms,
                                uint32_t sender, cp::Random& random) {
  const auto asked = cp::parse<cp::InitiationMessage>(initiation);
  const auto shared = cp::noise::agree(from.dh.secret, to);
  if (!asked || !shared) return {};
  auto state = cp::noise::HandshakeState::responder(prologue.bytes(), from.dh);
  std::array<uint8_t, cp::kTermsBytes> theirs;
  const cp::ByteView body(asked->body);
  if (!state.read_identity(body.first(cp::noise::kIdentityBytes)) || state.peer_static() != to ||
      !state.read_payload(*shared, body.subspan(cp::noise::kIdentityBytes), theirs)) {
    return {};
  }
  cp::ResponseMessage message{.sender = Be32(sender), .receiver = asked->sender};
  if (!state.write_response(fresh_pair(random), {}, terms, message.body)) return {};
  cp::Bytes bytes = cp::to_bytes(message);
  cp::write_macs(bytes, cp::MacKeys::of(to), {});
  return bytes;
}

}  // namespace sky::fuzz
