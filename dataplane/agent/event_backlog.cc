#include "dataplane/agent/event_backlog.h"

#include <optional>

namespace sky::dataplane {
namespace {

/// What an event tells of; nothing for one that need not be kept.
std::optional<uint64_t> subject_of(const InstallMessage& event) {
  const uint64_t kind = uint64_t{to_underlying(event.verb)} << 56;
  switch (event.verb) {
    case Verb::link_state:
      return kind | to_underlying(event.as<LinkStateEvent>().link);
    case Verb::chain_confirmed: {
      const auto chain = event.as<ChainConfirmedEvent>();
      return kind | uint64_t{to_underlying(chain.owner)} << 32 | chain.index;
    }
    case Verb::member_state: {
      const auto member = event.as<MemberStateEvent>();
      return kind | (uint64_t{to_underlying(member.group)} * kMaxMembers + member.slot);
    }
    default:
      return std::nullopt;
  }
}

}  // namespace

void EventBacklog::keep(const InstallMessage& event) {
  const auto subject = subject_of(event);
  if (!subject) return;
  if (newest_.insert_or_assign(*subject, event).second) order_.push_back(*subject);
}

void EventBacklog::pop_front() {
  newest_.erase(order_.front());
  order_.pop_front();
}

void EventBacklog::clear() {
  newest_.clear();
  order_.clear();
}

}  // namespace sky::dataplane
