// End-to-end keys: one session for each node at the far end of a circuit, shared by all circuits between the two,
// whichever made them. The first handshake travels in SETUP and its reply; renewals, and new keys for a session whose
// keys are gone, in packets on a circuit. Both ends may begin at any time.
//
// A responder seals with new keys only when the initiator is known to hold them: under a session without keys at once
// (there is nothing to lose), else when a datagram under them came or the initiator's confirmation
// (`confirm 28: type 4, zero[3], key ID u64, BLAKE2b-128 keyed with the initiator's send chain`). It repeats its answer
// until then. Session ID: a hash of both addresses, so that both ends know it at all times. Streams: the node of the
// lower address gives out the lower half to its circuits, the other one the upper half.
// Source: docs/protocol.md, "Session handshakes".
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <set>

#include "controlplane/core/chains.h"
#include "controlplane/core/context.h"
#include "controlplane/core/deadlines.h"
#include "controlplane/core/snapshot.h"

namespace sky::controlplane {

class Sessions {
 public:
  /// Sends a handshake packet to that node over some live circuit; false when there is none.
  using SendOver = std::function<bool(const Ipv6Address& peer, ByteView message)>;

  /// `context` outlives it.
  Sessions(Context& context, const Identity& identity);
  void set_send_over(SendOver send) { send_over_ = std::move(send); }

  void adopt(const SessionMessage& row);
  void attached(const std::map<SessionIndex, SessionMessage>& standing);
  void detached();

  // For circuits. `peer` is a node of the topology.

  /// After the adoption of circuits: sessions that none of them uses are no longer wanted.
  void drop_unused();
  /// A use by one more circuit; false when the table is full. The session's row is wanted from then on.
  bool acquire(const Ipv6Address& peer);
  /// The session ends with its last circuit.
  void release(const Ipv6Address& peer);
  /// The same streams both ways, from this node's half; nothing when all are in use.
  std::optional<uint16_t> take_streams(const Ipv6Address& peer);
  /// Streams that the other end gave out, or an adopted circuit has: false when they are not its to give or in use.
  bool claim_streams(const Ipv6Address& peer, uint16_t send, uint16_t receive);
  void free_streams(const Ipv6Address& peer, uint16_t send, uint16_t receive);

  // Streams that circuits share (circuits.copy): each circuit has a use of them.

  /// This node's for what it copies to that peer, with windows at least that long: taken anew where those it has are
  /// shorter. Nothing when all streams are in use.
  std::optional<CopiedStreams> copied_streams(const Ipv6Address& peer, uint8_t window);
  /// A use of this node's own, or of the peer's, which `worker` opens if nobody uses them yet. False where they are in
  /// use otherwise, not theirs to give, or their windows do not fit into dataplane.sizes.copy_windows.
  bool claim_copied(const Ipv6Address& peer, const CopiedStreams& copied, uint8_t worker);
  void free_copied(const Ipv6Address& peer, const CopiedStreams& copied);
  /// Who opens the peer's.
  uint8_t copied_worker(const Ipv6Address& peer, const CopiedStreams& copied) const;

  /// As an adopted rule has it.
  void set_peer_lanes(const Ipv6Address& peer, uint16_t lanes);

  bool usable(const Ipv6Address& peer) const;
  SessionIndex index_of(const Ipv6Address& peer) const;
  uint16_t peer_lanes(const Ipv6Address& peer) const;
  std::optional<Ipv6Address> peer_of(SessionIndex index) const;

  /// The proof that this node, or that `peer`, is the ingress of that SETUP: needs no keys, and outlives them.
  SetupProof prove(const Ipv6Address& peer, const Setup& setup) const;
  bool proves(const Ipv6Address& peer, const Setup& setup) const { return equal(prove(peer, setup), setup.proof); }

  /// What a SETUP carries: our initiation while there are no keys, else nothing.
  Bytes blob_for_setup(const Ipv6Address& peer);
  /// The far end has no keys: ask anew even though we have some.
  void begin_anew(const Ipv6Address& peer);
  /// No SETUP to that node is under way any more: the other end's initiations count.
  void give_way(const Ipv6Address& peer);
  /// What came in a SETUP: `none` when its keys are there or on their way into the dataplane.
  CircuitReason on_setup_blob(const Ipv6Address& peer, ByteView blob, LinkIndex from);
  /// To be put into the reply to that blob, once all is installed; empty when it is not known any more.
  Bytes blob_for_reply(const Ipv6Address& peer, ByteView answered_blob);
  void on_reply_blob(const Ipv6Address& peer, ByteView blob);

  // From elsewhere.
  void on_packet(const Ipv6Address& peer, ByteView message, LinkIndex from);
  void on_confirmed(SessionIndex index, uint64_t key_id);
  void on_traffic(const Ipv6Address& peer);
  /// Initiations of sessions without keys go out again: they may have had no way before.
  void on_link_up();
  /// A circuit to that node is up: what had no way before goes out.
  void on_circuit(const Ipv6Address& peer);
  void installed(SessionIndex index, uint64_t key_id);
  void refused(SessionIndex index);

  void tick();
  TimeNs next_deadline() const { return deadlines_.next(); }
  std::vector<SessionSnapshot> snapshot() const;

 private:
  struct Answered {
    uint64_t key_id;
    uint8_t parity;
    bool by_packet = false;     ///< came on a circuit, where the answer goes; else it goes with the reply to SETUP
    Mac confirmation;           ///< what the initiator will say
    std::optional<Chain> send;  ///< held back until the initiator was heard
    unsigned repeats = 0;
    TimeNs repeat_at = kNever;
  };
  struct CopyUse {
    unsigned circuits = 0;
    uint8_t window = 0;
    uint8_t worker = 0;
    uint64_t bytes = 0;  ///< of the dataplane's memory
  };
  struct Session {
    Ipv6Address peer{};
    SessionIndex index{};
    uint64_t id = 0;
    Handshake handshake;
    unsigned circuits = 0;
    std::set<uint16_t> send_streams{};
    std::set<uint16_t> receive_streams{};
    uint16_t next_stream = 0;              ///< within this node's half
    std::map<uint16_t, CopyUse> copied{};  ///< by first stream, which stands in the sets above too
    CopiedStreams copies{};                ///< this node's newest
    bool keyed = false;
    bool anew = false;  ///< the far end lost its keys
    uint16_t peer_lanes = 1;
    std::optional<uint8_t> parity{};
    std::optional<Answered> answered{};
    Bytes initiation{};        ///< our last
    Bytes their_initiation{};  ///< the last that was answered, and the answer
    Bytes our_reply{};
    Bytes their_reply{};  ///< the last that gave keys, and what confirms it
    Bytes our_confirmation{};
    uint64_t greet = 0;
    bool traffic = false;
    TimeNs renew_at = kNever;
    TimeNs final_ns = 0;
    uint64_t key_id = 0;
    uint64_t handshakes = 0;
    std::string last_refusal{};
  };

  Session* find(const Ipv6Address& peer);
  const Session* find(const Ipv6Address& peer) const;
  Session* find(SessionIndex index);
  static Prologue prologue() { return {.scope = Prologue::Scope::session}; }
  Session* make(const Ipv6Address& peer, SessionIndex index);
  bool is_ours(const Session& session, uint16_t stream) const { return (stream < kStreams / 2) == is_lower(session); }
  /// Of the dataplane's memory: windows longer than a plain stream's, for each lane of the peer.
  uint64_t window_bytes(const Session& session, const CopiedStreams& copied) const;
  std::optional<SessionIndex> free_index();
  void put_row(const Session& session);
  Terms offer(const Session& session) const;
  bool is_lower(const Session& session) const { return context_.network.address() < session.peer; }
  void renew_initiation(Session& session);
  /// Nothing: answered, or answered before. `again`: what to send back instead of an answer.
  CircuitReason on_initiation(Session& session, ByteView message, LinkIndex from, Bytes& again);
  void answer(Session& session, const Keys& keys, ByteView message);
  void on_response(Session& session, ByteView message);
  /// Confirms our new keys to the peer; again later when there is no way.
  void greet(Session& session);
  void confirmed(Session& session);
  void finish(Session& session, uint64_t key_id, uint8_t parity);
  void note(Session& session, const Refusal& refusal);
  void tick(Session& session);
  void repeat_answer(Session& session);
  void schedule(const Session& session);

  Context& context_;
  HandshakeGate gate_;
  SendOver send_over_;
  std::map<Ipv6Address, Session> sessions_;
  std::map<SessionIndex, Ipv6Address> by_index_;
  Deadlines<Ipv6Address> deadlines_;
  uint32_t first_free_ = 0;          ///< no index below it is free
  uint64_t copy_windows_bytes_ = 0;  ///< of peers' copied streams
};

}  // namespace sky::controlplane
