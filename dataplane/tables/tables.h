// All tables of the dataplane in one place. Workers read them through the public members; the agent changes them on the
// main core through Applier, one batch at a time, and every change becomes visible by one store. The main core also
// turns the keys over here, once per turn.
#pragma once

#include <memory>
#include <set>
#include <span>
#include <unordered_set>
#include <utility>
#include <vector>

#include "dataplane/crypto/aead.h"
#include "dataplane/tables/destinations.h"
#include "dataplane/tables/groups.h"
#include "dataplane/tables/index_table.h"
#include "dataplane/tables/interface.h"
#include "dataplane/tables/key_log.h"
#include "dataplane/tables/links.h"
#include "dataplane/tables/port_polls.h"
#include "dataplane/tables/quiescence.h"
#include "dataplane/tables/route_table.h"
#include "dataplane/tables/sessions.h"
#include "dataplane/tables/stats.h"

namespace sky::dataplane {

struct TablesConfig {
  Capacities capacities;
  unsigned workers;
  KeyPolicy link_keys;
  KeyPolicy session_keys;
  std::vector<MacAddress> port_macs;          ///< [port]
  std::vector<PortPolling> polling;           ///< [port]
  uint64_t copy_windows_bytes = 64ull << 20;  ///< of windows that are longer than a plain stream's, at most
  bool hugepages = false;                     ///< rules lie in them
  KeyLog* key_log = nullptr;                  ///< in laboratories; outlives the tables
};

/// What a worker walks when its timers are due: those that stand below these indices.
struct Timed {
  std::atomic<uint32_t> links{0};
  std::atomic<uint32_t> groups{0};
  std::atomic<uint64_t> version{0};  ///< rises after a batch whose changes do not wait for their timers
};

class Tables final : public TableView, public Applier, public Dumper {
 public:
  Tables(TablesConfig config, Quiescence& quiescence, const AeadEngine& keys, Stats stats,
         std::unique_ptr<DestinationMap> destination_map);
  ~Tables() override;

  // Workers: ro.
  IndexTable<Link> links;
  LinksUp links_up;
  IndexTable<Session> sessions;
  IndexTable<Group> groups;
  RouteTable rules;
  const std::unique_ptr<DestinationMap> destinations;
  Timed timed;
  PortPolls polls;
  /// [rule index]: the member whose opposite direction ends at that consume rule, group * kMaxMembers + slot + 1; 0:
  /// none.
  mutable ZeroedArray<std::atomic<uint32_t>> members_by_rule;
  /// [rule index]: what a realtime circuit keeps to; nullptr for others.
  ZeroedArray<std::atomic<CircuitRate*>> circuit_rates;
  Stats stats;

  // Main core, once per turn: before and after everything else that touches the tables.
  void begin_turn(uint64_t now_ns);
  /// Steps keys, of at most kMostTicked links and as many sessions and what the batch at hand waits for;
  /// chain_confirmed events go to `events`. Ends with the start of a grace period. True when others wait for the next
  /// turn.
  bool end_turn(std::vector<InstallMessage>& events);
  static constexpr unsigned kMostTicked = 1'024;
  /// The circuit whose opposite direction ends at this rule died behind a far link: its group moves to another member
  /// until its probes are answered again. Of a member that lived, the event goes to `events`.
  void circuit_died(RouteId consume, std::vector<InstallMessage>& events);
  std::atomic<uint32_t>& member_of(RouteId consume) const { return members_by_rule[rules.index_of(consume)]; }
  const TablesConfig& config() const { return config_; }

  // TableView
  Capacities capacities() const override { return config_.capacities; }
  bool has_link(LinkIndex link) const override { return links.find(to_underlying(link)) != nullptr; }
  bool has_session(SessionIndex session) const override { return sessions.find(to_underlying(session)) != nullptr; }
  bool has_group(GroupIndex group) const override { return groups.find(to_underlying(group)) != nullptr; }
  bool key_seen(const KeyChainMessage& chain) const override;
  const Rule* rule(RouteId route) const override;
  void prefetch(RouteId route) const override { rules.prefetch(route); }
  bool slot_free(RouteId route) const override;
  std::optional<MemberMessage> member(GroupIndex group, uint8_t slot) const override;
  std::optional<GroupIndex> destination(const DestinationMessage& key) const override;
  uint32_t destination_count() const override { return destinations->count(); }
  unsigned owner(LinkIndex link) const override;
  unsigned hears(PortIndex port, const MacAddress& from) const override { return polls.hears(port, from); }

  // Applier
  bool stage_destination(const DestinationMessage& put) override;
  void stage_delete_destination(const DestinationMessage& key) override;
  void unstage_destinations() override { destinations->unstage(); }
  void publish_destinations() override;
  void put_link(const LinkMessage& message) override;
  void put_session(const SessionMessage& message) override;
  void put_key_chain(const KeyChainMessage& message) override;
  void put_rule(const RuleMessage& message) override;
  void put_group(const GroupMessage& message) override;
  void put_member(const MemberMessage& message) override;
  void delete_member(GroupIndex group, uint8_t slot) override;
  void delete_group(GroupIndex group) override;
  void delete_rule(RouteId route) override;
  void delete_session(SessionIndex session) override;
  void delete_link(LinkIndex link) override;
  void finish() override;
  bool settled() override;

  // Dumper
  std::optional<uint32_t> dump(Table table, uint32_t from, InstallMessage& row) const override;

 private:
  void log_keys(Link& link);
  void log_keys(Session& session);
  KeyRing* ring_of(KeyOwner owner, uint32_t index) const;
  StreamPage& page_of(Session& session, unsigned stream);
  void claim_streams(const RuleMessage& rule);
  void claim_stream(Session& session, unsigned stream, unsigned log2_counters, uint8_t owner);
  void release_streams(const RuleMessage& rule);
  void release_stream(Session& session, unsigned stream);
  SessionWindows* make_windows(unsigned log2_counters, uint8_t owner);
  void forget_windows(const SessionWindows& windows);
  /// As it was put.
  RuleMessage standing(uint32_t index) const;
  /// Who shares a limit on what comes by that port.
  unsigned workers_of(PortIndex port) const;
  void replace_rate(RouteId route, std::unique_ptr<CircuitRate> rate);
  void sweep_streams(Session& session);
  bool moves(const Link& link, const LinkConfig& to) const;
  /// The link's packets pass by while another worker becomes its owner, or others receive its lanes.
  void change_owner(Link& link, const LinkConfig* config);
  /// The one that stood.
  static const LinkConfig* replace_config(Link& link, const LinkConfig* config);
  /// The member is no longer the one that its consume rule ends at.
  void forget_consume(const MemberMessage& member);
  void leave_to_another(Group& group, uint8_t slot);
  /// Members that begin with the link: a bit per slot.
  std::vector<std::pair<Group*, uint8_t>> members_by(const Link& link) const;
  void replace_view(Group& group, std::unique_ptr<GroupView> view);
  void show(Group& group, uint8_t slots);
  void hide(Group& group, uint8_t slots);
  void tick_unready(std::vector<InstallMessage>& events);
  void tick_link(Link& link, std::vector<InstallMessage>& events);
  void tick_session(Session& session, std::vector<InstallMessage>& events);
  void confirm(KeyRing& ring, KeyOwner owner, uint32_t index, std::vector<InstallMessage>& events);
  template <typename T>
  void retire(T* object) {
    quiescence_.retire([object] { delete object; });
  }

  TablesConfig config_;
  Quiescence& quiescence_;
  const AeadEngine& key_engine_;
  KeyIdMemories seen_keys_;
  Round round_{};
  bool timed_stale_ = false;
  uint64_t copy_windows_bytes_ = 0;  ///< in use

  // What stands, for walks of the main core, and which ticks next.
  uint32_t next_link_ = 0, next_session_ = 0;
  std::set<uint32_t> link_indices_;
  std::set<uint32_t> session_indices_;
  std::set<uint32_t> group_indices_;
  std::unordered_set<uint32_t> rated_;                   ///< rule indices in circuit_rates
  std::unordered_set<uint32_t> resting_;                 ///< slots of deleted rules that a worker may still see
  std::set<std::pair<KeyOwner, uint32_t>> unconfirmed_;  ///< chains whose peer was not heard under them yet
  std::vector<std::pair<KeyOwner, uint32_t>> unready_;   ///< chains put in this batch whose slots wait for a grace
};

}  // namespace sky::dataplane
