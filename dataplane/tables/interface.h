// What the agent asks of the dataplane's tables (TableView, Dumper) and tells them (Applier). Main
// core only, cold path: virtual calls, so that the checking of batches is tested without EAL
// against a naive model.
//
// The agent calls Applier with messages that were checked as a whole: every index is inside its
// table, every value in its range, every dependency stands. Order of one batch (docs/protocol.md,
// "Contract"):
//   stage_delete_destination ..., stage_destination ...  (into the copy of the map that no packet sees; the one step
//   that may refuse), put_link, put_session, put_key_chain, put_rule, put_group, put_member ..., publish_destinations,
//   delete_member, delete_group, delete_rule, delete_session, delete_link ..., finish
// A key is put once, or deleted once, or neither. A delete takes the object out of the packets' sight at once; its
// memory and index are free for use again only after the workers' grace, which `finish` may start. Nothing but the
// agent changes the tables while it runs: it counts references from these calls.
#pragma once

#include <cstdint>
#include <optional>

#include "dataplane/base/ids.h"
#include "dataplane/protocol/install.h"

namespace sky::dataplane {

/// How many objects each table holds; indices are below. `rules` is a power of two.
struct Capacities {
  uint32_t ports;
  uint32_t links;
  uint32_t sessions;
  uint32_t rules;
  uint32_t groups;
  uint32_t destinations;
  unsigned workers = 1;
  Suites suites = kAllSuites;  ///< that keys may be of
  bool laboratory = false;     ///< links may be of kind `clear`
};

/// What stands. Arguments may be any value: what is out of range does not stand.
class TableView {
 public:
  virtual ~TableView() = default;
  virtual Capacities capacities() const = 0;
  virtual bool has_link(LinkIndex link) const = 0;
  virtual bool has_session(SessionIndex session) const = 0;
  virtual bool has_group(GroupIndex group) const = 0;
  /// Some owner's same direction has had a chain of this key ID.
  virtual bool key_seen(const KeyChainMessage& chain) const = 0;
  /// The rule under exactly this ID, or null.
  virtual const Rule* rule(RouteId route) const = 0;
  /// It will soon be asked for, or changed: rules lie at random, each in memory that no cache holds.
  virtual void prefetch(RouteId) const {}
  /// The slot of this ID holds no rule and does not rest after one.
  virtual bool slot_free(RouteId route) const = 0;
  virtual std::optional<MemberMessage> member(GroupIndex group, uint8_t slot) const = 0;
  /// The group of exactly this prefix.
  virtual std::optional<GroupIndex> destination(const DestinationMessage& key) const = 0;
  virtual uint32_t destination_count() const = 0;
  /// The worker that seals on this link: packets of the control plane go there.
  virtual unsigned owner(LinkIndex link) const = 0;
  /// The worker that a neighbour's handshake frames come to: the one to call it, whose rations then know it.
  virtual unsigned hears(PortIndex port, const MacAddress& from) const = 0;
};

class Applier {
 public:
  virtual ~Applier() = default;
  /// False: no room; the agent calls unstage_destinations and refuses the batch.
  virtual bool stage_destination(const DestinationMessage& put) = 0;
  virtual void stage_delete_destination(const DestinationMessage& key) = 0;
  virtual void unstage_destinations() = 0;
  virtual void publish_destinations() = 0;

  virtual void put_link(const LinkMessage& link) = 0;
  virtual void put_session(const SessionMessage& session) = 0;
  virtual void put_key_chain(const KeyChainMessage& chain) = 0;
  virtual void put_rule(const RuleMessage& rule) = 0;
  virtual void put_group(const GroupMessage& group) = 0;
  virtual void put_member(const MemberMessage& member) = 0;

  virtual void delete_member(GroupIndex group, uint8_t slot) = 0;
  virtual void delete_group(GroupIndex group) = 0;
  virtual void delete_rule(RouteId route) = 0;
  virtual void delete_session(SessionIndex session) = 0;
  virtual void delete_link(LinkIndex link) = 0;
  /// After the last message of a batch.
  virtual void finish() = 0;
  /// All of the batch works, keys that had to wait for the workers' quiescence too: now it is
  /// acked. Asked each turn until true; the next batch waits.
  virtual bool settled() = 0;
};

class Dumper {
 public:
  virtual ~Dumper() = default;
  /// Writes the first row at or after index `from` as the put that would make it (with the fields
  /// that are for dumps) and returns the index to go on from; nothing when there is no more. Rules
  /// go by slot, members by group * 8 + slot, destinations by an order of the table's own that puts
  /// and deletes do not disturb for the other rows.
  virtual std::optional<uint32_t> dump(Table table, uint32_t from, InstallMessage& row) const = 0;
};

}  // namespace sky::dataplane
