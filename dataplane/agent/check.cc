#include "dataplane/agent/check.h"

#include <bit>
#include <cstddef>
#include <cstring>
#include <memory_resource>
#include <optional>
#include <unordered_map>

#include "dataplane/agent/values.h"

namespace sky::dataplane {
namespace {

/// What a message puts or deletes. A rule is known by its slot, so that two IDs of one slot meet.
struct ObjectKey {
  uint64_t table_and_index;
  Ipv6Address more{};  ///< a prefix, or a key chain's ID
  bool operator==(const ObjectKey&) const = default;
};

struct ObjectHash {
  size_t operator()(const ObjectKey& key) const {
    constexpr uint64_t kOdd = 0x9e3779b97f4a7c15;
    uint64_t hash = 0;
    for (const uint64_t word : std::bit_cast<std::array<uint64_t, 3>>(key)) hash = (std::rotl(hash, 29) ^ word) * kOdd;
    return hash ^ hash >> 32;
  }
};

enum class Kind : uint8_t { link = 1, session, rule, group, member, destination, chain };

ObjectKey key_of(Kind kind, uint64_t index) {
  return {.table_and_index = uint64_t{to_underlying(kind)} << 56 | index};
}

ObjectKey key_of(Referent to) {
  constexpr std::array kinds{Kind::link, Kind::session, Kind::group};
  return key_of(kinds[to_underlying(to.kind)], to.index);
}

ObjectKey member_key(uint32_t group, uint8_t slot) {
  return key_of(Kind::member, uint64_t{group} << 8 | slot);
}

ObjectKey destination_key(Family family, uint8_t length, const Ipv6Address& prefix) {
  ObjectKey key = key_of(Kind::destination, uint64_t{to_underlying(family)} << 8 | length);
  key.more = prefix;
  return key;
}

/// All of a put_key_chain but its secret, of which no copy may stay behind on the stack.
KeyChainMessage without_secret(const InstallMessage& message) {
  KeyChainMessage chain;
  std::memcpy(static_cast<void*>(&chain), &message, offsetof(KeyChainMessage, secret));
  return chain;
}

bool is_delete(const InstallMessage& message) {
  return message.verb >= Verb::delete_link;
}

/// Empty when it is no delete: other messages are not copied whole.
DeleteMessage delete_in(const InstallMessage& message) {
  return is_delete(message) ? message.as<DeleteMessage>() : DeleteMessage{};
}

/// The same for every owner: a chain is installed once in its life.
ObjectKey chain_key(const KeyChainMessage& chain) {
  ObjectKey key = key_of(Kind::chain, to_underlying(chain.direction));
  std::memcpy(key.more.data(), &chain.key_id, sizeof(chain.key_id));
  return key;
}

/// What becomes of one object in this batch.
struct Fate {
  uint32_t last;  ///< message
  bool deleted;
  RouteId route;  ///< of a rule
};

class Check {
 public:
  Check(Messages messages, const TableView& view, const References& references)
      : messages_(messages), view_(view), references_(references), capacities_(view.capacities()) {}

  std::expected<Plan, Refusal> run() {
    fates_.reserve(messages_.size());
    own_.reserve(messages_.size());
    for (auto pass : {&Check::identity, &Check::dependencies, &Check::uses}) {
      for (uint32_t i = 0; i < messages_.size(); ++i) {
        const InstallError error = (this->*pass)(i);
        if (error != InstallError::none) return std::unexpected(Refusal{i, error});
      }
      // The third pass asks what the batch as a whole lets go of.
      if (pass == &Check::dependencies && deletes_referents_) release();
    }
    return plan();
  }

 private:
  ObjectKey key(uint32_t i) const {
    const InstallMessage& message = messages_[i];
    const DeleteMessage gone = delete_in(message);
    switch (message.verb) {
      case Verb::put_link:
        return key_of(Kind::link, to_underlying(message.as<LinkMessage>().link));
      case Verb::put_session:
        return key_of(Kind::session, to_underlying(message.as<SessionMessage>().session));
      case Verb::put_key_chain:
        return chain_key(without_secret(message));
      case Verb::put_rule:
        return rule_key(message.as<RuleMessage>().rule.route_id);
      case Verb::put_group:
        return key_of(Kind::group, to_underlying(message.as<GroupMessage>().group));
      case Verb::put_member: {
        const auto member = message.as<MemberMessage>();
        return member_key(to_underlying(member.group), member.slot);
      }
      case Verb::put_destination: {
        const auto put = message.as<DestinationMessage>();
        return destination_key(put.family, put.length, put.prefix);
      }
      case Verb::delete_link:
        return key_of(Kind::link, gone.index);
      case Verb::delete_session:
        return key_of(Kind::session, gone.index);
      case Verb::delete_rule:
        return rule_key(RouteId{gone.index});
      case Verb::delete_group:
        return key_of(Kind::group, gone.index);
      case Verb::delete_member:
        return member_key(gone.index, gone.slot);
      default:
        return destination_key(gone.family, gone.length, gone.prefix);
    }
  }
  ObjectKey rule_key(RouteId route) const { return key_of(Kind::rule, to_underlying(route) & (capacities_.rules - 1)); }

  /// First pass: the message alone, and the objects that it and others name.
  InstallError identity(uint32_t i) {
    const InstallMessage& message = messages_[i];
    if (i + kRulesAhead < messages_.size()) view_.prefetch(route_of(messages_[i + kRulesAhead]));
    if (const InstallError error = check_value(message, capacities_); error != InstallError::none) return error;
    const RouteId route = route_of(messages_[i]);
    const auto [at, fresh] = fates_.try_emplace(key(i), Fate{i, is_delete(messages_[i]), route});
    Fate& fate = at->second;
    own_.push_back(&fate);
    if (!fresh) {
      if (message.verb == Verb::put_key_chain) return InstallError::key_seen_before;
      if (fate.route != route) return is_delete(messages_[i]) ? InstallError::not_found : InstallError::occupied;
      if (fate.deleted && is_delete(messages_[i])) return InstallError::not_found;
      if (fate.deleted != is_delete(messages_[i])) return InstallError::bad_value;
      fate.last = i;
      return InstallError::none;
    }
    if (message.verb == Verb::put_key_chain && view_.key_seen(without_secret(message))) {
      return InstallError::key_seen_before;
    }
    if (message.verb == Verb::put_rule && view_.rule(route) == nullptr && !view_.slot_free(route)) {
      return InstallError::occupied;
    }
    if (is_delete(messages_[i]) && !stands(i)) return InstallError::not_found;
    deletes_referents_ = deletes_referents_ || message.verb == Verb::delete_link ||
                         message.verb == Verb::delete_session || message.verb == Verb::delete_group;
    return InstallError::none;
  }

  /// What message `i` deletes is there.
  bool stands(uint32_t i) const {
    const auto gone = messages_[i].as<DeleteMessage>();
    switch (gone.verb) {
      case Verb::delete_link:
        return view_.has_link(LinkIndex{static_cast<uint16_t>(gone.index)});
      case Verb::delete_session:
        return view_.has_session(SessionIndex{gone.index});
      case Verb::delete_rule:
        return view_.rule(RouteId{gone.index}) != nullptr;
      case Verb::delete_group:
        return view_.has_group(GroupIndex{gone.index});
      case Verb::delete_member:
        return view_.member(GroupIndex{gone.index}, gone.slot).has_value();
      default:
        return view_.destination(destination_of(gone)).has_value();
    }
  }

  bool stands(Referent to) const {
    if (to.kind == Referent::Kind::link) return view_.has_link(LinkIndex{static_cast<uint16_t>(to.index)});
    return to.kind == Referent::Kind::session ? view_.has_session(SessionIndex{to.index})
                                              : view_.has_group(GroupIndex{to.index});
  }

  /// It stands and stays, or comes in this batch.
  bool there(Referent to) const {
    if (!deletes_referents_ && stands(to)) return true;
    const auto fate = fates_.find(key_of(to));
    return fate == fates_.end() ? stands(to) : !fate->second.deleted;
  }

  /// Second pass: what a put refers to is there.
  InstallError dependencies(uint32_t i) {
    bool complete = true;
    const auto visit = [&](Referent to) { complete = complete && there(to); };
    const InstallMessage& message = messages_[i];
    if (message.verb == Verb::put_rule) each_referent(message.as<RuleMessage>().rule, visit);
    if (message.verb == Verb::put_member) each_referent(message.as<MemberMessage>(), visit);
    if (message.verb == Verb::put_destination) each_referent(message.as<DestinationMessage>().group, visit);
    if (message.verb == Verb::put_key_chain) {
      const KeyChainMessage chain = without_secret(message);
      visit({chain.owner == KeyOwner::link ? Referent::Kind::link : Referent::Kind::session, chain.index});
    }
    return complete ? InstallError::none : InstallError::missing_dependency;
  }

  /// Counts the references of all that is replaced or deleted.
  void release() {
    const auto visit = [this](Referent to) { ++released_[key_of(to)]; };
    for (const auto& [key, fate] : fates_) {
      const InstallMessage& message = messages_[fate.last];
      const DeleteMessage gone = delete_in(message);
      if (const Rule* rule = fate.route == kControlRoute ? nullptr : view_.rule(fate.route))
        each_referent(*rule, visit);
      if (message.verb == Verb::put_member || message.verb == Verb::delete_member) {
        const auto put = message.as<MemberMessage>();
        const bool deletes = message.verb == Verb::delete_member;
        const auto old = view_.member(deletes ? GroupIndex{gone.index} : put.group, deletes ? gone.slot : put.slot);
        if (old) each_referent(*old, visit);
      }
      if (message.verb == Verb::put_destination || message.verb == Verb::delete_destination) {
        const bool deletes = message.verb == Verb::delete_destination;
        const auto old = view_.destination(deletes ? destination_of(gone) : message.as<DestinationMessage>());
        if (old) each_referent(*old, visit);
      }
    }
  }

  /// Third pass: nothing that stays refers to what is deleted (puts were looked at before), and the map has room.
  InstallError uses(uint32_t i) {
    const DeleteMessage gone = delete_in(messages_[i]);
    const auto used = [&](Referent::Kind kind) {
      const auto released = released_.find(key_of(Referent{kind, gone.index}));
      const uint32_t standing = references_.of({kind, gone.index});
      return standing == (released == released_.end() ? 0 : released->second) ? InstallError::none
                                                                              : InstallError::still_used;
    };
    if (gone.verb == Verb::delete_link) return used(Referent::Kind::link);
    if (gone.verb == Verb::delete_session) return used(Referent::Kind::session);
    if (gone.verb == Verb::delete_group) return used(Referent::Kind::group);
    if (messages_[i].verb == Verb::put_destination) return room_for(i);
    return InstallError::none;
  }

  /// Deletes make room first, wherever they stand in the batch.
  InstallError room_for(uint32_t i) {
    if (!room_) {
      int64_t room = int64_t{capacities_.destinations} - view_.destination_count();
      for (const InstallMessage& message : messages_) room += message.verb == Verb::delete_destination;
      room_ = room;
    }
    const auto put = messages_[i].as<DestinationMessage>();
    const bool first = own_[i]->last == i;
    if (!first || view_.destination(put)) return InstallError::none;
    return --*room_ >= 0 ? InstallError::none : InstallError::table_full;
  }

  Plan plan() const {
    Plan plan;
    for (uint32_t i = 0; i < messages_.size(); ++i) {
      if (own_[i]->last == i) plan.add(messages_[i].verb, i);
    }
    return plan;
  }

  Messages messages_;
  const TableView& view_;
  const References& references_;
  const Capacities capacities_;
  std::pmr::monotonic_buffer_resource memory_{1 << 16};  // one node per object: no allocation each
  std::pmr::unordered_map<ObjectKey, Fate, ObjectHash> fates_{&memory_};
  std::vector<const Fate*> own_;  ///< [message]
  std::pmr::unordered_map<ObjectKey, uint32_t, ObjectHash> released_{&memory_};
  bool deletes_referents_ = false;
  std::optional<int64_t> room_;  ///< for destinations that are new
};

}  // namespace

RouteId route_of(const InstallMessage& message) {
  if (message.verb == Verb::put_rule) return message.as<RuleMessage>().rule.route_id;
  if (message.verb == Verb::delete_rule) return RouteId{message.as<DeleteMessage>().index};
  return kControlRoute;
}

DestinationMessage destination_of(const DeleteMessage& gone) {
  return {.family = gone.family, .length = gone.length, .prefix = gone.prefix};
}

std::expected<Plan, Refusal> check(Messages messages, const TableView& view, const References& references) {
  return Check(messages, view, references).run();
}

}  // namespace sky::dataplane
