// How many rules, members and destinations name each link, session and group: a delete must leave no reference
// behind, and counting is what makes a batch of 65,536 messages checkable in milliseconds. One counter per table
// entry; the counted objects are the tables' own.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "dataplane/protocol/install.h"
#include "dataplane/tables/interface.h"

namespace sky::dataplane {

/// Something that others refer to.
struct Referent {
  enum class Kind : uint8_t { link, session, group } kind;
  uint32_t index;
};

// The one place that says who refers to whom: calls visit(Referent) for each reference.
template <typename Visit>
void each_referent(const Rule& rule, Visit visit) {
  visit(Referent{Referent::Kind::link, to_underlying(rule.in_link)});
  if (rule.action == RuleAction::consume) {
    visit(Referent{Referent::Kind::session, to_underlying(rule.session)});
    return;
  }
  visit(Referent{Referent::Kind::link, to_underlying(rule.next_link)});
  if (rule.alternate_link != kNoLink) visit(Referent{Referent::Kind::link, to_underlying(rule.alternate_link)});
}

template <typename Visit>
void each_referent(const MemberMessage& member, Visit visit) {
  visit(Referent{Referent::Kind::group, to_underlying(member.group)});
  visit(Referent{Referent::Kind::link, to_underlying(member.link)});
  if (member.alternate_link != kNoLink) visit(Referent{Referent::Kind::link, to_underlying(member.alternate_link)});
  visit(Referent{Referent::Kind::session, to_underlying(member.session)});
}

/// Of a destination.
template <typename Visit>
void each_referent(GroupIndex group, Visit visit) {
  if (group != kLocalGroup) visit(Referent{Referent::Kind::group, to_underlying(group)});
}

class References {
 public:
  explicit References(const Capacities& capacities)
      : counts_{std::vector<uint32_t>(capacities.links), std::vector<uint32_t>(capacities.sessions),
                std::vector<uint32_t>(capacities.groups)} {}

  template <typename Object>
  void add(const Object& object) {
    each_referent(object, [this](Referent to) { ++counts_[to_underlying(to.kind)][to.index]; });
  }
  template <typename Object>
  void remove(const Object& object) {
    each_referent(object, [this](Referent to) { --counts_[to_underlying(to.kind)][to.index]; });
  }
  uint32_t of(Referent to) const { return counts_[to_underlying(to.kind)][to.index]; }

 private:
  std::array<std::vector<uint32_t>, 3> counts_;  ///< [Referent::Kind][index]
};

}  // namespace sky::dataplane
