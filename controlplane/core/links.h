// The keys of this node's links: one handshake machine each. A link without keys, or down for a second, is called by
// bare handshake frames; keys are renewed inside the live link. Receive keys stand before the message goes out that
// lets the peer use them; what an initiation claims about a live link (MAC, index) is believed only when the peer was
// heard under the new keys, since an initiation may be a replay.
//
//   absent --handshake--> keyed, down --liveness (dataplane)--> up --silence--> down --1 s--> called again
//
// After another dataplane's attachment all links are absent: keys are never installed twice. Source:
// docs/protocol.md, "Handshakes".
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "controlplane/core/context.h"
#include "controlplane/core/snapshot.h"
#include "controlplane/session/handshake.h"

namespace sky::controlplane {

class Links {
 public:
  /// `context` outlives it. pre_shared: by position; absent ones are zero.
  static Result<std::unique_ptr<Links>> create(Context& context, const Identity& identity,
                                               const std::vector<Secret<32>>& pre_shared);

  /// What the first attachment found: the peer's index and MAC are taken over, the rest comes from the configuration.
  /// A row of another link, from another configuration, is not: its index waits until the dataplane has let go of it.
  void adopt(const LinkMessage& row);
  bool is_adopted(LinkIndex link) const;
  /// What stands, with its state, by link index; nothing for those that do not.
  void attached(const std::map<LinkIndex, LinkMessage>& standing);
  void detached();

  void on_frame(const ControlPacket& packet);   ///< a bare handshake frame
  void on_packet(const ControlPacket& packet);  ///< a handshake packet inside a live link
  void on_state(LinkIndex link, bool up);
  void on_confirmed(LinkIndex link, uint64_t key_id);
  void installed(LinkIndex link, uint64_t key_id);
  void refused(LinkIndex link);

  void tick();
  TimeNs next_deadline() const;

  bool usable(LinkIndex link) const;
  uint16_t mtu(LinkIndex link) const;  ///< carrier payload, bytes
  /// The worker of the dataplane that owns it.
  uint8_t worker(LinkIndex index) const;
  std::vector<LinkSnapshot> snapshot() const;

 private:
  /// Where an answer goes: back the way the message came.
  struct Way {
    LinkIndex link = kNoLink;  ///< inside it; kNoLink: bare, to port and MAC
    PortIndex port{};
    MacAddress mac{};
    uint16_t ether_type = 0;
  };
  struct Answered {
    uint64_t key_id;
    Way way;
    uint32_t peer_index;
    LinkMessage row;  ///< put at the latest when the peer was heard
    uint8_t parity;
    Suite suite;
  };
  struct Link {
    LinkIndex index{};
    const OwnLink* own;
    const LinkConfig* config;
    Handshake handshake;
    LinkMessage row{};
    bool placed = false;  ///< the row is wanted
    bool keyed = false;
    bool up = false;
    std::optional<uint8_t> parity{};  ///< of the last final receive chain
    std::optional<Answered> answered{};
    uint64_t greet = 0;  ///< key ID of our own handshake whose chains are on their way down
    unsigned calls = 0;  ///< initiations sent since the last final keys
    TimeNs want_at = kNever;
    TimeNs renew_at = kNever;
    TimeNs changed_ns = 0;
    TimeNs final_ns = 0;
    uint64_t key_id = 0;
    uint64_t peer_boot = 0;
    uint64_t handshakes = 0;
    Suite suite{};  ///< of the last final keys
    std::string last_refusal{};
  };

  Links(Context& context, const Identity& identity);

  Terms offer(const Link& link) const;
  uint64_t cookie_of(const Link& link) const { return __builtin_bit_cast(Be64, link.own->id).get(); }
  /// Its index still stands for another link.
  bool waits(const Link& link) const { return !link.placed && context_.planner.knows(link_key(link.index)); }
  /// What a link's row has from its peer.
  struct PeerSide {
    uint32_t index;
    MacAddress mac;
    uint8_t kind;  ///< FrameKind, agreed
    uint8_t lanes;
  };
  static PeerSide side_of(const Keys& keys, const Way& way);
  LinkMessage row_of(const Link& link, const PeerSide& peer) const;
  void place(Link& link, const LinkMessage& row);
  void handle(Link* inside, const Way& way, ByteView message, const Prologue& prologue);
  void on_initiation(Link* inside, const Way& way, const Arrival& arrival);
  void answer(Link& link, const Way& way, const Keys& keys);
  void on_response(Link& link, const Way& way, ByteView message);
  void finish(Link& link, uint64_t key_id, uint8_t parity, uint64_t peer_boot);
  void say(const Way& way, uint32_t receiver_index, ByteView message);
  void call(Link& link, ByteView message);
  void note(Link* link, const Refusal& refusal);
  Link* find_only(const Way& way);
  Link* find_peer(const Way& way, const noise::PublicDh& peer);
  Link* find_expecting(const Way& way, uint32_t receiver_index);
  Way bare_way(const Link& link) const;

  Context& context_;
  HandshakeGate gate_;
  std::vector<Link> links_;
};

}  // namespace sky::controlplane
