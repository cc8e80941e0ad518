// Groups: for each node that traffic may go to, the circuits that take it there, this node's own and those that the
// other side made. Circuits are wanted on demand (the dataplane found no live member) or always (circuits.keep): k
// maximally disjoint paths, the best takes the traffic, the others stand by. The dataplane moves traffic when a member
// dies; here only what is missing is asked for: another path when one cannot be set up or mended, never sooner than a
// growing pause after the last failure. A circuit that is replaced is closed after the new ones are up.
// Groups of mode copy (circuits.copy) have two circuits at least, which share streams beside their own; both get each
// packet.
// Source: docs/protocol.md, "Groups".
#pragma once

#include <array>
#include <map>
#include <optional>

#include "controlplane/core/circuits.h"

namespace sky::controlplane {

struct Group {
  struct Backoff {
    unsigned failures = 0;
    TimeNs until = 0;
  };
  GroupIndex index{};
  Ipv6Address end{};
  bool kept = false;
  uint32_t copy_rate = 0;  ///< packets a second that go twice; 0: mode pin
  bool wanted = false;
  bool unreachable = false;  ///< wanted, and no path comes up
  TimeNs used_ns = 0;        ///< 0: never
  std::array<std::optional<CircuitId>, kMaxMembers> slots{};
  std::map<uint64_t, CircuitId> own{};   ///< by path: this node's circuits, up or asked for
  std::map<uint64_t, Backoff> failed{};  ///< by path
};

class Groups : public Ends {
 public:
  /// All outlive it.
  Groups(Context& context, Links& links, Sessions& sessions, Circuits& circuits);

  void adopt(const GroupMessage& row);
  /// An adopted circuit that has a group and slot already; false when these are not free.
  bool adopt(const Circuit& circuit);
  /// One group for each other node of the topology; those of nodes that are gone go.
  void rebuild();
  /// By (group, slot): the members that are live now.
  void attached(const std::map<RowKey, bool>& live);

  void on_miss(GroupIndex group);
  void on_member_state(const MemberStateEvent& event);
  void on_traffic(const TrafficSeen& seen);
  void on_link_up();
  /// A circuit to that node, as if traffic had come for it.
  void want(const Ipv6Address& end);

  const Group* find(const Ipv6Address& end) const;
  const Group* find(GroupIndex index) const;
  bool has_live(const Group& group) const;
  const char* state_of(const Group& group) const;
  /// True once after a group became unreachable or reachable again.
  bool take_changed() { return std::exchange(changed_, false); }

  void join(Circuit& circuit) override;
  void rejoin(const Circuit& circuit) override;
  void leave(const Circuit& circuit) override;
  void is_up(const Circuit& circuit) override;
  void failed(const Circuit& circuit, CircuitReason reason) override;
  void is_stuck(const Circuit& circuit) override;
  void traced(const Circuit& circuit, const TraceReply& reply) override;
  using Traced = std::function<void(const Circuit&, const TraceReply&)>;
  void set_traced(Traced traced) { traced_ = std::move(traced); }

  void tick();
  TimeNs next_deadline() const { return deadlines_.next(); }
  std::vector<GroupSnapshot> snapshot() const;
  std::vector<PathSnapshot> paths_snapshot() const;
  uint8_t weight_of(const Circuit& circuit) const;

 private:
  Group* get(const Ipv6Address& end) { return const_cast<Group*>(find(end)); }
  Group* get(GroupIndex index) { return const_cast<Group*>(find(index)); }
  Group* make(const Ipv6Address& end, GroupIndex index);
  std::optional<GroupIndex> free_index();
  void remove(Group& group);
  void want(Group& group);
  /// Copies go over own circuits, also where the other end's would do for the traffic.
  void want_copies(Group& group);
  void put_members(const Group& group);
  uint32_t copy_rate_of(NodeIndex node) const;
  std::optional<unsigned> best_own(const Group& group) const;

  const std::vector<Path>& paths(const Group& group, unsigned k) const;
  /// Those that it should have circuits on.
  const std::vector<Path>& best_paths(const Group& group) const;
  void reconcile(Group& group);
  bool start(Group& group, const Path& path, unsigned rank);
  void start_alternates(Group& group, unsigned missing);
  void close_replaced(Group& group, const std::vector<uint64_t>& wanted);
  void close_idle(Group& group);
  void set_unreachable(Group& group, bool unreachable);

  // group_copies.cc
  struct CopyNeed {
    uint64_t apart_ns = 0;
    uint64_t counters = 0;
    uint8_t window = 0;  ///< 0: over what may be
  };
  CopyNeed copy_need(const Group& group) const;
  std::array<const Circuit*, 2> copy_pair(const Group& group) const;
  void fit_copies(Group& group);
  void use_copies(Group& group);
  std::vector<std::string> shared_by(const Circuit& one, const Circuit& other) const;
  void show_copies(const Group& group, GroupSnapshot& row) const;
  void schedule(const Group& group);

  Context& context_;
  Links& links_;
  Sessions& sessions_;
  Circuits& circuits_;
  Traced traced_;
  std::map<GroupIndex, Group> groups_;
  std::map<Ipv6Address, GroupIndex> by_end_;
  Deadlines<GroupIndex> deadlines_;
  mutable std::map<std::pair<Ipv6Address, unsigned>, std::vector<Path>> paths_;  ///< computed since the last rebuild
  uint32_t first_free_ = 0;                                                      ///< no index below it is free
  bool changed_ = false;
};

}  // namespace sky::controlplane
