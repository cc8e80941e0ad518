// The dataplane's tables as plain maps, and the rules of a batch in the most naive form: everything is put and deleted
// in a copy, then every reference is looked for by walking all of it. What check() computes with counters and one hash
// map must come out the same. As an Applier the model also insists on the promised order.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>
#include <tuple>
#include <vector>

#include "dataplane/agent/check.h"
#include "dataplane/agent/values.h"
#include "dataplane/tables/interface.h"

namespace sky::dataplane::test {

using DestinationKey = std::tuple<Family, uint8_t, Ipv6Address>;
using ChainKey = std::pair<Direction, uint64_t>;

inline DestinationKey key_of(const DestinationMessage& put) {
  return {put.family, put.length, put.prefix};
}
inline ChainKey key_of(const KeyChainMessage& chain) {
  return {chain.direction, chain.key_id};
}

/// What stands.
struct State {
  std::set<uint32_t> links, sessions, groups;
  std::map<uint32_t, Rule> rules;  ///< [route ID]
  std::map<std::pair<uint32_t, uint8_t>, MemberMessage> members;
  std::map<DestinationKey, GroupIndex> destinations;
  std::set<ChainKey> chains;

  bool has(Referent to) const {
    if (to.kind == Referent::Kind::link) return links.contains(to.index);
    return (to.kind == Referent::Kind::session ? sessions : groups).contains(to.index);
  }
  template <typename Object>
  bool has_all(const Object& object) const {
    bool all = true;
    each_referent(object, [&](Referent to) { all = all && has(to); });
    return all;
  }
  bool whole() const {
    const auto good = [this](const auto& entry) { return has_all(entry.second); };
    return std::ranges::all_of(rules, good) && std::ranges::all_of(members, good) &&
           std::ranges::all_of(destinations, good);
  }
  bool refers(Referent to) const {
    bool found = false;
    const auto look = [&](Referent other) { found = found || (other.kind == to.kind && other.index == to.index); };
    for (const auto& [key, rule] : rules) each_referent(rule, look);
    for (const auto& [key, member] : members) each_referent(member, look);
    for (const auto& [key, group] : destinations) each_referent(group, look);
    return found;
  }
};

bool same(const State& left, const State& right);

class Model final : public TableView, public Applier, public Dumper {
 public:
  explicit Model(Capacities sizes) : sizes_(sizes) {}

  State state;
  State staged;  ///< the destinations that no packet sees
  bool staging = false;
  uint32_t room = UINT32_MAX;  ///< destinations that can be staged before there is no more room
  bool is_settled = true;
  unsigned finishes = 0;
  std::vector<InstallMessage> put_links;

  // TableView
  Capacities capacities() const override { return sizes_; }
  bool has_link(LinkIndex link) const override { return state.links.contains(to_underlying(link)); }
  bool has_session(SessionIndex session) const override { return state.sessions.contains(to_underlying(session)); }
  bool has_group(GroupIndex group) const override { return state.groups.contains(to_underlying(group)); }
  bool key_seen(const KeyChainMessage& chain) const override { return state.chains.contains(key_of(chain)); }
  const Rule* rule(RouteId route) const override {
    const auto found = state.rules.find(to_underlying(route));
    return found == state.rules.end() ? nullptr : &found->second;
  }
  bool slot_free(RouteId route) const override {
    return std::ranges::none_of(state.rules, [&](const auto& entry) {
      return ((entry.first ^ to_underlying(route)) & (sizes_.rules - 1)) == 0;
    });
  }
  std::optional<MemberMessage> member(GroupIndex group, uint8_t slot) const override {
    const auto found = state.members.find({to_underlying(group), slot});
    return found == state.members.end() ? std::nullopt : std::optional(found->second);
  }
  std::optional<GroupIndex> destination(const DestinationMessage& key) const override {
    const auto found = state.destinations.find(key_of(key));
    return found == state.destinations.end() ? std::nullopt : std::optional(found->second);
  }
  uint32_t destination_count() const override { return static_cast<uint32_t>(state.destinations.size()); }
  unsigned owner(LinkIndex) const override { return 0; }
  unsigned hears(PortIndex, const MacAddress&) const override { return 0; }

  // Applier
  bool stage_destination(const DestinationMessage& put) override {
    begin_staging();
    if (room == 0) return false;
    --room;
    staged.destinations[key_of(put)] = put.group;
    return true;
  }
  void stage_delete_destination(const DestinationMessage& key) override {
    begin_staging();
    EXPECT_EQ(staged.destinations.erase(key_of(key)), 1u);
  }
  void unstage_destinations() override { staging = false; }
  void publish_destinations() override {
    EXPECT_TRUE(staging);
    staging = false;
    state.destinations = staged.destinations;
    EXPECT_TRUE(state.whole()) << "a destination before its group";
  }
  void put_link(const LinkMessage& link) override {
    state.links.insert(to_underlying(link.link));
    put_links.push_back(InstallMessage::of(link));
  }
  void put_session(const SessionMessage& session) override { state.sessions.insert(to_underlying(session.session)); }
  void put_key_chain(const KeyChainMessage& chain) override {
    const bool of_link = chain.owner == KeyOwner::link;
    EXPECT_TRUE((of_link ? state.links : state.sessions).contains(chain.index)) << "a key before its owner";
    EXPECT_TRUE(state.chains.insert(key_of(chain)).second);
  }
  void put_rule(const RuleMessage& put) override {
    EXPECT_TRUE(state.has_all(put.rule)) << "a rule before what it names";
    state.rules[to_underlying(put.rule.route_id)] = put.rule;
  }
  void put_group(const GroupMessage& group) override { state.groups.insert(to_underlying(group.group)); }
  void put_member(const MemberMessage& member) override {
    EXPECT_TRUE(state.has_all(member)) << "a member before what it names";
    state.members[{to_underlying(member.group), member.slot}] = member;
  }
  void delete_member(GroupIndex group, uint8_t slot) override {
    EXPECT_EQ(state.members.erase({to_underlying(group), slot}), 1u);
  }
  void delete_group(GroupIndex group) override {
    EXPECT_EQ(state.groups.erase(to_underlying(group)), 1u);
    EXPECT_TRUE(state.whole()) << "a group before what names it";
  }
  void delete_rule(RouteId route) override { EXPECT_EQ(state.rules.erase(to_underlying(route)), 1u); }
  void delete_session(SessionIndex session) override {
    EXPECT_EQ(state.sessions.erase(to_underlying(session)), 1u);
    EXPECT_TRUE(state.whole()) << "a session before what names it";
  }
  void delete_link(LinkIndex link) override {
    EXPECT_EQ(state.links.erase(to_underlying(link)), 1u);
    EXPECT_TRUE(state.whole()) << "a link before what names it";
  }
  void finish() override { ++finishes; }
  bool settled() override { return is_settled; }

  // Dumper: rules only, and of these those whose ID is their slot.
  std::optional<uint32_t> dump(Table table, uint32_t from, InstallMessage& row) const override {
    const auto found = state.rules.lower_bound(from);
    if (table != Table::rules || found == state.rules.end()) return std::nullopt;
    row = InstallMessage::of(RuleMessage{.rule = found->second, .circuit = {}});
    return found->first + 1;
  }

 private:
  void begin_staging() {
    if (!staging) staged = state;
    staging = true;
  }
  Capacities sizes_;
};

/// The rules of check.h by brute force. The message's own values are check_value's, which has a test of its own.
std::optional<Refusal> naive_refusal(Messages messages, const Model& model);

/// The state after a batch that is not refused.
State naive_result(Messages messages, State state);

}  // namespace sky::dataplane::test
