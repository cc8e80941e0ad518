// HandshakeGate: what a node does with an initiation before it spends anything on it. One per node (or one for links
// and one for sessions, with limits of their own). In this order, cheap before dear:
//
//   1. form and mac1: else refused;                                           about 1 us
//   2. proven (mac2 under a cookie of ours, or a trusted way): the ration of its source and of all proven ones,
//      else refused. A source is forged at will, so unproven ones have one ration in common: when that is spent, the
//      only answer is a cookie (68 bytes to a message of 168), from which the sender makes mac2;
//   3. one key agreement, which opens the claimed static key (`Initiation::peer`). The caller finds that peer's
//      Handshake, and its on_initiation() proves the claim.
//
// Bounded memory: 256 rations over a keyed hash of the source. The cookie secret is renewed every 120 s.
// One thread. Source: docs/protocol.md, "Handshake messages"; WireGuard, 5.3 and 5.4.7.
#pragma once

#include <variant>

#include "controlplane/core/random.h"
#include "controlplane/session/identity.h"
#include "controlplane/session/message.h"
#include "dataplane/base/ration.h"

namespace sky::controlplane {

/// Why a message was dropped: one counter each.
enum class Reason : uint8_t {
  malformed,     ///< size, type or a field outside its range
  mac1,          ///< not meant for this node
  budget,        ///< a ration is spent
  seal,          ///< does not open: altered, or another key or pre-shared key
  unknown_peer,  ///< a foreign static key
  mismatch,      ///< authentic, but no common ground
  stale,         ///< repeats or precedes an initiation that was answered
  ours_first,    ///< crossed our own initiation, which counts
  unexpected,    ///< answers nothing that is pending
};
inline constexpr size_t kReasons = 9;
const char* name_of(Reason reason);

/// Of a fault that lasts, which its operator must hear of; the others happen between well-configured nodes, too.
inline bool is_fault(Reason reason) {
  return reason == Reason::seal || reason == Reason::unknown_peer || reason == Reason::mismatch;
}

struct Refusal {
  Reason reason;
  Error error;
};

template <typename T>
using Outcome = std::expected<T, Refusal>;

inline std::unexpected<Refusal> refuse(Reason reason, Error error) {
  return std::unexpected(Refusal{reason, std::move(error)});
}

/// A message as it came, and what the caller knows about the way it took.
struct Arrival {
  ByteView message;
  Prologue prologue;
  ByteView source;       ///< the address an answer goes to; a cookie is bound to it
  bool trusted = false;  ///< came inside the live link or session of that same peer
};

/// An initiation that passed the gate: its sender's static key is a claim until a Handshake has read the payload.
struct Initiation {
  noise::HandshakeState noise;
  InitiationMessage message;
  Prologue::Scope scope;
  Mac cookie;   ///< for its source
  bool proven;  ///< its source or its way is

  const noise::PublicDh& peer() const { return noise.peer_static(); }
};

/// Send this to where the initiation came from; nothing else was done.
struct CookieReply {
  Bytes message;
};

struct GateLimits {
  Rate unproven{100, 100};
  Rate proven{1000, 200};
  Rate per_source{20, 20};
};

class HandshakeGate {
 public:
  /// `random` outlives the gate.
  HandshakeGate(Identity identity, Random& random, GateLimits limits = {});

  Outcome<std::variant<Initiation, CookieReply>> admit(const Arrival& arrival, uint64_t now_ns);

  CookieReply cookie_reply(const InitiationMessage& message, const Mac& cookie);
  /// message[168 or 124]
  bool is_for_us(ByteView message) const { return mac1_holds(message, macs_); }
  const Identity& identity() const { return identity_; }
  Random& random() { return random_; }

 private:
  Mac cookie_for(ByteView source, uint64_t now_ns);
  Ration& ration_of(ByteView source);

  Identity identity_;
  MacKeys macs_;
  Random& random_;
  Ration unproven_;
  Ration proven_;
  std::array<uint8_t, crypto_shorthash_KEYBYTES> hash_key_;
  std::vector<Ration> sources_;
  Secret<32> cookie_secret_;
  uint64_t renew_secret_ns_ = 0;
};

}  // namespace sky::controlplane
