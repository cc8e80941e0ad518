// A node of a handshake test: keys, chance, gate and one handshake with a peer.
#pragma once

#include <gtest/gtest.h>

#include <memory>

#include "controlplane/session/handshake.h"

namespace sky::controlplane {

inline constexpr uint64_t kSecond_ns = 1'000'000'000;

inline Identity identity_of(uint8_t number) {
  std::array<uint8_t, 32> seed{};
  seed[0] = number;
  return Identity::from_seed(seed);
}

/// The identity whose X25519 key is the lower (or the higher) of numbers 1 and 2.
inline Identity ordered_identity(bool lower) {
  const Identity one = identity_of(1), two = identity_of(2);
  return (one.dh.public_key < two.dh.public_key) == lower ? one : two;
}

inline const Prologue kLinkPrologue{.scope = Prologue::Scope::link, .header = {0x13, 0, 0, 0}, .carrier = 1};
inline const Prologue kSessionPrologue{.scope = Prologue::Scope::session, .header = {}, .carrier = 0};

struct Node {
  Node(uint64_t seed, const Identity& own, const PublicKey& peer, Prologue used = kLinkPrologue,
       const Secret<32>& pre_shared = {}, GateLimits limits = {})
      : random(seed), gate(own, random, limits), prologue(used) {
    auto made = Handshake::create(gate, {.key = peer, .pre_shared = pre_shared, .prologue = prologue});
    EXPECT_TRUE(made.has_value());
    handshake.emplace(std::move(*made));
    offer.receive_index = static_cast<uint32_t>(seed);
    offer.boot_id = seed * 1000;
    if (prologue.scope == Prologue::Scope::session) offer.session_id = seed << 32;
  }
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;

  /// The first initiation of a new want.
  Bytes initiate(uint64_t now_ns) {
    handshake->want(now_ns);
    auto message = handshake->on_timer(offer, now_ns);
    EXPECT_TRUE(message.has_value());
    return *message;
  }
  /// Gate and handshake; a cookie reply of the gate is a Step that sends.
  Outcome<Step> receive(ByteView initiation, uint64_t now_ns, bool live = false, ByteView source = kSource,
                        bool trusted = false) {
    auto admitted =
        gate.admit({.message = initiation, .prologue = prologue, .source = source, .trusted = trusted}, now_ns);
    if (!admitted) return std::unexpected(admitted.error());
    if (auto* cookie = std::get_if<CookieReply>(&*admitted)) return Step{.send = cookie->message};
    return handshake->on_initiation(std::get<Initiation>(std::move(*admitted)), offer, live, now_ns);
  }

  static constexpr std::array<uint8_t, 6> kSource{2, 0, 0, 0, 0, 1};

  SeededRandom random;
  HandshakeGate gate;
  Prologue prologue;
  Terms offer;
  std::optional<Handshake> handshake;
};

/// Two nodes that call each other; `lower` has the lower X25519 key.
struct Pair {
  explicit Pair(Prologue prologue = kLinkPrologue, GateLimits limits = {})
      : lower(10, ordered_identity(true), ordered_identity(false).key, prologue, {}, limits),
        higher(20, ordered_identity(false), ordered_identity(true).key, prologue, {}, limits) {}
  Node lower, higher;
};

inline bool match(const Keys& one, const Keys& other) {
  return one.tx_chain == other.rx_chain && one.rx_chain == other.tx_chain && one.key_id == other.key_id &&
         one.handshake_hash == other.handshake_hash && one.ours == other.theirs && one.theirs == other.ours &&
         one.agreed == other.agreed && one.initiator != other.initiator;
}

}  // namespace sky::controlplane
