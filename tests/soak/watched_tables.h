// A node's tables as the agent sees them, with a witness: each batch that is applied is judged once more, by the naive
// model and by its values, and what should stand after it is kept, to be compared with what a dump shows.
#pragma once

#include <algorithm>
#include <deque>
#include <map>

#include "controlplane/install/row.h"
#include "dataplane/tables/tables.h"
#include "tests/unit/agent/model.h"

namespace sky::soak {

class WatchedTables final : public dataplane::Applier {
 public:
  explicit WatchedTables(dataplane::Tables& tables) : tables_(tables), before_(tables.capacities()) {}

  uint64_t batches() const { return batches_; }
  uint64_t messages() const { return messages_; }
  uint64_t unvalidated() const { return unvalidated_; }
  /// The rows of a whole dump are those that were put and not deleted.
  void expect_tables() const;

  bool stage_destination(const DestinationMessage& put) override {
    // Of destinations and rules no table keeps the bytes without a meaning, which anything may be scribbled over.
    DestinationMessage kept = put;
    kept.pad = 0;
    std::ranges::fill(kept.rest, uint8_t{0});
    note(kept);
    return tables_.stage_destination(put);
  }
  void stage_delete_destination(const DestinationMessage& key) override {
    DeleteMessage gone;
    gone.verb = Verb::delete_destination;
    gone.family = key.family;
    gone.length = key.length;
    gone.prefix = key.prefix;
    note(gone);
    tables_.stage_delete_destination(key);
  }
  void unstage_destinations() override {
    batch_.clear();
    tables_.unstage_destinations();
  }
  void publish_destinations() override { tables_.publish_destinations(); }
  void put_link(const LinkMessage& link) override {
    note(link);
    tables_.put_link(link);
  }
  void put_session(const SessionMessage& session) override {
    note(session);
    tables_.put_session(session);
  }
  void put_key_chain(const KeyChainMessage& chain) override {
    note(chain);
    tables_.put_key_chain(chain);
  }
  void put_rule(const RuleMessage& rule) override {
    RuleMessage kept = rule;
    kept.pad = 0;
    note(kept);
    tables_.put_rule(rule);
  }
  void put_group(const GroupMessage& group) override {
    note(group);
    tables_.put_group(group);
  }
  void put_member(const MemberMessage& member) override {
    note(member);
    tables_.put_member(member);
  }
  void delete_member(GroupIndex group, uint8_t slot) override {
    note_delete(Verb::delete_member, to_underlying(group), slot);
    tables_.delete_member(group, slot);
  }
  void delete_group(GroupIndex group) override {
    note_delete(Verb::delete_group, to_underlying(group));
    tables_.delete_group(group);
  }
  void delete_rule(RouteId route) override {
    note_delete(Verb::delete_rule, to_underlying(route));
    tables_.delete_rule(route);
  }
  void delete_session(SessionIndex session) override {
    note_delete(Verb::delete_session, to_underlying(session));
    tables_.delete_session(session);
  }
  void delete_link(LinkIndex link) override {
    note_delete(Verb::delete_link, to_underlying(link));
    tables_.delete_link(link);
  }
  void finish() override {
    judge();
    tables_.finish();
  }
  bool settled() override { return tables_.settled(); }

 private:
  template <typename Message>
  void note(const Message& message) {
    batch_.push_back(InstallMessage::of(message));
  }
  void note_delete(Verb verb, uint32_t index, uint8_t slot = 0) {
    DeleteMessage gone;
    gone.verb = verb;
    gone.index = index;
    gone.slot = slot;
    note(gone);
  }
  void judge();
  void keep(const InstallMessage& message);
  void forget_old_chains();

  dataplane::Tables& tables_;
  dataplane::test::Model before_;  ///< what stood before the batch, as plain maps
  std::deque<dataplane::test::ChainKey> chains_;
  std::vector<InstallMessage> batch_;
  std::map<controlplane::RowKey, InstallMessage> rows_;
  uint64_t batches_ = 0;
  uint64_t messages_ = 0;
  uint64_t unvalidated_ = 0;
};

}  // namespace sky::soak
