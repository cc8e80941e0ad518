// Handshake: the two halves of a key handshake with one peer, for a link as for a session. Pure: bytes, time and chance
// come in, bytes and keys go out; it sends nothing and installs nothing.
//
//   idle --want--> due --on_timer--> initiated --on_response--> Keys (final): install, then send one KeepAlive
//                   ^                    |  1 s x 2^n, at most 30 s, each less up to a quarter by chance; for ever
//                   +--------------------+
//   idle --on_initiation--> Keys (provisional): install, wait for the ack --release_reply--> answered
//                           answered --confirm (first authentic frame under these keys)--> idle
//
// - Two pending slots at most: one `initiated`, one `answered`. What is final (on_response, confirm) empties both.
// - An answer is provisional: nothing is sealed with its send chain and nothing live gives way before confirm().
// - An initiation without proof of its address takes only a free place: when the link is live, an answer is unconfirmed
//   or an initiation of ours is pending, it gets a cookie and is answered when it comes back with mac2. So a replayed
//   initiation costs one key agreement of the gate, or one rationed answer, and displaces nothing.
// - Crossing initiations: the one from the lower X25519 key counts. Its sender refuses the other's and sends its own
//   again, byte for byte; the other drops its own and answers.
// - Initiations carry (run, attempt): one that is not newer than the last answered of its run is stale. Repeating the
//   one just answered is answered with the same bytes, since its answer may have been lost.
// - The final keys of a handshake carry the parities both sides named; a receiver names the other parity than that of
//   its last final handshake, so its live and its next chain stand side by side.
//
// Cost: create() one key agreement; on_timer 2 multiplications, an answer 3, a response 2 (36 us each), all rationed
// per peer. One thread. Source: docs/protocol.md, "Handshakes".
#pragma once

#include "controlplane/session/gate.h"

namespace sky::controlplane {

/// What both sides hold afterwards: `tx_chain` of one is `rx_chain` of the other.
struct Keys {
  Secret<32> tx_chain;
  Secret<32> rx_chain;
  PublicKey peer;
  Terms ours;    ///< ours.parity: of rx_chain
  Terms theirs;  ///< theirs.parity: of tx_chain; theirs.receive_index: what our headers carry
  Agreed agreed;
  noise::Hash handshake_hash;
  uint64_t key_id;  ///< first bytes of the hash: the same on both sides, never the same twice
  bool initiator;   ///< false: provisional until confirm(key_id)
};

/// What to do with an initiation: one of the two is set.
struct Step {
  std::optional<Keys> keys{};  ///< provisional: install them and, once that is acked, send release_reply()
  Bytes send{};                ///< send now, to where the initiation came from
};

class Handshake {
 public:
  struct Peer {
    PublicKey key;
    Secret<32> pre_shared;  ///< zero when unset
    Prologue prologue;      ///< of our own initiations
  };

  /// Fails when the key is no key or our own. `gate` outlives the handshake.
  static Result<Handshake> create(HandshakeGate& gate, const Peer& peer);

  /// Begins a handshake and goes on until one is final; no effect while one is wanted.
  void want(uint64_t now_ns);
  /// Forgets and wipes all that is pending.
  void stop();
  /// Initiations sent since want(): a renewal that got no answer inside the live link is better sent bare.
  unsigned tries() const { return tries_; }
  /// When on_timer() has something to do.
  std::optional<uint64_t> deadline_ns() const;

  /// The initiation that is due, in place of the one before; empty when none is due. In all that take it, `offer` is
  /// what we say of ourselves now: receive index, parity, ...; run and attempt are filled in here, and a session's ID
  /// is the initiator's.
  Outcome<Bytes> on_timer(const Terms& offer, uint64_t now_ns);
  /// `live`: the link or session has final keys.
  Outcome<Step> on_initiation(Initiation arrived, const Terms& offer, bool live, uint64_t now_ns);
  /// The prepared answer, when its keys are installed; empty when it was displaced meanwhile.
  Bytes release_reply(uint64_t key_id);
  Outcome<Keys> on_response(ByteView message, uint64_t now_ns);
  /// The initiation again, now with mac2: send it.
  Outcome<Bytes> on_cookie(ByteView message, uint64_t now_ns);
  /// The first authentic frame under the keys of an answer. False when they are not the pending ones.
  bool confirm(uint64_t key_id);

  /// A response or cookie with this receiver index is for us.
  bool expects(uint32_t receiver_index) const { return initiated_ && initiated_->index == receiver_index; }
  bool pending() const { return wanted_ || initiated_ || answered_; }
  /// What only the two nodes can make of `bytes`, whatever became of their sessions: a MAC under the secret of both
  /// static keys, for the purpose that `domain` names.
  Mac vouch(std::string_view domain, ByteView bytes) const;
  const noise::PublicDh& peer() const { return peer_dh_; }

 private:
  struct Initiated {
    noise::HandshakeState noise;
    uint32_t index;
    Terms offer;
    Bytes message;
    uint64_t sent_ns;
    bool proved;  ///< was sent again with a cookie
  };
  struct Answered {
    uint64_t key_id;
    uint32_t run;
    uint16_t attempt;
    Bytes reply;
    bool released;
  };
  struct Seen {
    uint32_t run;
    uint16_t attempt;
  };
  struct Cookie {
    Mac value;
    uint64_t until_ns;
  };

  Handshake(HandshakeGate& gate, const Peer& peer, const noise::PublicDh& peer_dh, noise::SecretDh shared);

  Outcome<Terms> read_terms(Initiation& arrived) const;
  Outcome<Agreed> check(const Terms& ours, const Terms& theirs) const;
  Outcome<Step> on_stale(const Terms& theirs) const;
  Outcome<Step> on_crossing(uint64_t now_ns);
  Outcome<Step> answer(Initiation arrived, const Terms& offer, const Terms& theirs, Agreed agreed, uint64_t now_ns);
  bool is_stale(const Terms& theirs) const;
  void note(const Terms& theirs);
  void next_attempt();
  uint64_t retry_interval_ns();
  noise::KeyPair ephemeral();
  std::optional<Mac> cookie(uint64_t now_ns) const;

  HandshakeGate* gate_;
  Peer peer_;
  noise::PublicDh peer_dh_;
  MacKeys peer_macs_;
  noise::SecretDh static_shared_;
  Ration answers_;
  Ration responses_;

  bool wanted_ = false;
  unsigned tries_ = 0;
  uint64_t due_ns_ = 0;
  uint32_t run_ = 0;
  uint16_t attempt_ = 0;
  std::optional<Initiated> initiated_;
  std::optional<Answered> answered_;
  std::optional<Cookie> cookie_;
  std::array<Seen, 4> seen_{};  ///< the newest answered attempt of the last runs
  size_t oldest_seen_ = 0;
};

}  // namespace sky::controlplane
