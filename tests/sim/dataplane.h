// A dataplane for the simulator: tables, keys, links that live and die, circuits that are walked, as far as a control
// plane can tell it from the real one. Batches are checked and applied by the real agent's own code. Keys are compared,
// not used: a frame carries the secret it was sealed with. Time is a parameter.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <vector>

#include "controlplane/core/events.h"
#include "dataplane/agent/apply.h"
#include "dataplane/agent/check.h"
#include "dataplane/base/address.h"
#include "dataplane/protocol/frame.h"

namespace sky::sim {

using Bytes = std::vector<uint8_t>;
using Secret = std::array<uint8_t, 32>;

struct Frame {
  bool handshake = false;
  MacAddress source{};
  std::array<uint8_t, 16> header{};  ///< handshake

  uint32_t link_index = 0;  ///< the receiver's
  Secret sealed_with{};
  PacketType type{};
  RouteId route{};
  uint8_t hop_limit = 64;
  Bytes payload;

  Secret inner_sealed_with{};  ///< datagram
  uint64_t session_id = 0;
  uint16_t stream = 0;
  uint64_t number = 0;  ///< the same in each copy
};

/// Both directions of a link or session.
struct KeySet {
  struct Chain {
    uint64_t key_id = 0;
    Secret secret{};
    bool heard = false;
    uint64_t until_ns = UINT64_MAX;
  };
  std::array<std::optional<Chain>, 2> receive;  ///< by parity
  unsigned newest = 0;
  std::optional<Chain> send;
  unsigned send_parity = 0;
  std::optional<Chain> waiting;
  unsigned waiting_parity = 0;
  std::set<std::pair<Direction, uint64_t>> seen;

  void put(const KeyChainMessage& chain);
  /// The chain that opens it; on its first frame the other one gets 2 s more, and a send chain that waited goes on.
  Chain* open(const Secret& secret, uint64_t now_ns, bool& first);
  uint8_t keyed() const;
};

class Dataplane final : public dataplane::TableView, public dataplane::Applier {
 public:
  struct Counts {
    uint64_t delivered = 0;
    uint64_t copied = 0;
    uint64_t held = 0;
    uint64_t probes_answered = 0;
    std::map<std::string, uint64_t> drops;
  };

  using Transmit = std::function<void(PortIndex, Frame)>;
  using Punt = std::function<void(controlplane::Event)>;

  Dataplane(const dataplane::Capacities& capacities, uint64_t boot_id, MacAddress mac, Transmit transmit, Punt punt);

  controlplane::Attached attach(uint64_t fence) const;
  controlplane::Acked install(const controlplane::Install& batch, uint64_t now_ns);
  void send(const ControlPacket& packet);
  void receive(PortIndex port, const Frame& frame, uint64_t now_ns);
  void tick(uint64_t now_ns);
  /// A packet from the TUN to that address.
  void send_datagram(const Ipv6Address& to, uint64_t now_ns);

  const Counts& counts() const { return counts_; }
  uint64_t boot_id() const { return boot_id_; }
  bool link_up(LinkIndex link) const;
  const std::map<uint32_t, RuleMessage>& rules() const { return rules_; }
  const std::map<std::pair<GroupIndex, uint8_t>, MemberMessage>& members() const { return members_; }
  std::vector<unsigned> live_slots(GroupIndex group) const;
  std::optional<GroupIndex> group_of(const Ipv6Address& to) const;

  // TableView
  dataplane::Capacities capacities() const override { return capacities_; }
  bool has_link(LinkIndex link) const override { return links_.contains(link); }
  bool has_session(SessionIndex session) const override { return sessions_.contains(session); }
  bool has_group(GroupIndex group) const override { return groups_.contains(group); }
  bool key_seen(const KeyChainMessage& chain) const override;
  const Rule* rule(RouteId route) const override;
  bool slot_free(RouteId route) const override;
  std::optional<MemberMessage> member(GroupIndex group, uint8_t slot) const override;
  std::optional<GroupIndex> destination(const DestinationMessage& key) const override;
  uint32_t destination_count() const override { return static_cast<uint32_t>(destinations_.size()); }
  unsigned owner(LinkIndex) const override { return 0; }
  unsigned hears(PortIndex, const MacAddress&) const override { return 0; }

  // Applier
  bool stage_destination(const DestinationMessage& put) override;
  void stage_delete_destination(const DestinationMessage& key) override;
  void unstage_destinations() override {}
  void publish_destinations() override {}
  void put_link(const LinkMessage& link) override;
  void put_session(const SessionMessage& session) override;
  void put_key_chain(const KeyChainMessage& chain) override;
  void put_rule(const RuleMessage& rule) override;
  void put_group(const GroupMessage& group) override { groups_[group.group] = group; }
  void put_member(const MemberMessage& member) override;
  void delete_member(GroupIndex group, uint8_t slot) override;
  void delete_group(GroupIndex group) override { groups_.erase(group); }
  void delete_rule(RouteId route) override;
  void delete_session(SessionIndex session) override { sessions_.erase(session); }
  void delete_link(LinkIndex link) override { links_.erase(link); }
  void finish() override {}
  bool settled() override { return true; }

 private:
  struct Link {
    LinkMessage row;
    KeySet keys;
    bool up = false;
    bool was_up = false;
    unsigned good_pings = 0;
    uint64_t heard_ns = 0;
    uint64_t ping_ns = 0;
    uint64_t hold_until_ns = 0;
  };
  struct Session {
    SessionMessage row;
    KeySet keys;
    std::map<uint16_t, std::set<uint64_t>> copies{};  ///< by copied stream: what was delivered
  };
  struct Life {
    CircuitId circuit{};
    bool live = false;
    unsigned answered = 0;
    unsigned unanswered = 0;
    uint64_t probe_ns = 0;
    bool waiting = false;
  };

  void drop(const char* reason) { ++counts_.drops[reason]; }
  bool transmit(LinkIndex link, Frame frame);
  void on_control(LinkIndex link, const Frame& frame, uint64_t now_ns);
  void on_route(LinkIndex link, Frame frame, uint64_t now_ns);
  void on_consume(const RuleMessage& rule, const Frame& frame, uint64_t now_ns);
  void on_datagram(const RuleMessage& message, const Frame& frame, uint64_t now_ns);
  void on_pong(const Rule& rule, const Frame& frame);
  void punt(SlotKind kind, LinkIndex link, const Frame& frame, uint64_t now_ns);
  void set_up(Link& link, bool up, uint64_t now_ns);
  void set_live(GroupIndex group, uint8_t slot, bool live);
  void tick_link(Link& link, uint64_t now_ns);
  void tick_member(const MemberMessage& member, uint64_t now_ns);
  const MemberMessage* pick(GroupIndex group) const;
  std::pair<LinkIndex, RouteId> first_hop(const MemberMessage& member) const;
  const MemberMessage* second(const MemberMessage& first) const;
  void seal_datagram(const MemberMessage& member);

  dataplane::Capacities capacities_;
  uint64_t boot_id_;
  MacAddress mac_;
  Transmit transmit_;
  Punt punt_;
  dataplane::References references_;
  uint64_t now_ns_ = 0;
  Counts counts_;

  std::map<LinkIndex, Link> links_;
  std::map<SessionIndex, Session> sessions_;
  std::map<uint32_t, RuleMessage> rules_;  ///< by slot
  std::map<uint32_t, uint64_t> resting_;   ///< slot, until when
  std::map<GroupIndex, GroupMessage> groups_;
  std::map<std::pair<GroupIndex, uint8_t>, MemberMessage> members_;
  std::map<std::pair<GroupIndex, uint8_t>, Life> lives_;
  std::map<Prefix, GroupIndex> destinations_;
  std::map<GroupIndex, unsigned> held_;
  std::map<GroupIndex, uint64_t> missed_ns_;
  uint64_t sealed_ = 0;
};

}  // namespace sky::sim
