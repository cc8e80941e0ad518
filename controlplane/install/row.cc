#include "controlplane/install/row.h"

#include "dataplane/base/endian.h"

namespace sky::controlplane {
namespace {

struct Halves {
  Be64 high;
  Be64 low;
};

RowKey destination_key(const Ipv6Address& prefix, Family family, uint8_t length) {
  const auto halves = __builtin_bit_cast(Halves, prefix);
  return {.table = Table::destinations,
          .high = halves.high.get(),
          .low = halves.low.get(),
          .length = static_cast<uint16_t>(to_underlying(family) << 8 | length)};
}

Verb delete_verb(Table table) {
  switch (table) {
    case Table::links:
      return Verb::delete_link;
    case Table::sessions:
      return Verb::delete_session;
    case Table::rules:
      return Verb::delete_rule;
    case Table::groups:
      return Verb::delete_group;
    case Table::members:
      return Verb::delete_member;
    case Table::destinations:
      return Verb::delete_destination;
  }
  return Verb::none;
}

}  // namespace

RowKey destination_key(const Prefix& prefix) {
  return destination_key(prefix.address, prefix.family, prefix.length);
}

std::optional<RowKey> key_of(const InstallMessage& put) {
  switch (put.verb) {
    case Verb::put_link:
      return link_key(put.as<LinkMessage>().link);
    case Verb::put_session:
      return session_key(put.as<SessionMessage>().session);
    case Verb::put_rule:
      return rule_key(put.as<RuleMessage>().rule.route_id);
    case Verb::put_group:
      return group_key(put.as<GroupMessage>().group);
    case Verb::put_member: {
      const auto member = put.as<MemberMessage>();
      return member_key(member.group, member.slot);
    }
    case Verb::put_destination: {
      const auto destination = put.as<DestinationMessage>();
      return destination_key(destination.prefix, destination.family, destination.length);
    }
    default:
      return std::nullopt;
  }
}

InstallMessage delete_of(const RowKey& key) {
  DeleteMessage message{.verb = delete_verb(key.table)};
  if (key.table == Table::destinations) {
    message.family = Family{static_cast<uint8_t>(key.length >> 8)};
    message.length = static_cast<uint8_t>(key.length);
    message.prefix = __builtin_bit_cast(Ipv6Address, Halves{Be64(key.high), Be64(key.low)});
  } else if (key.table == Table::members) {
    message.index = static_cast<uint32_t>(key.low / kMaxMembers);
    message.slot = static_cast<uint8_t>(key.low % kMaxMembers);
  } else {
    message.index = static_cast<uint32_t>(key.low);
  }
  return InstallMessage::of(message);
}

InstallMessage without_state(const InstallMessage& row) {
  if (row.verb == Verb::put_link) {
    auto link = row.as<LinkMessage>();
    link.up = link.rx_parity = link.tx_parity = link.keyed = 0;
    link.suite = {};
    return InstallMessage::of(link);
  }
  if (row.verb == Verb::put_session) {
    auto session = row.as<SessionMessage>();
    session.keyed = session.rx_parity = session.tx_parity = 0;
    return InstallMessage::of(session);
  }
  if (row.verb == Verb::put_member) {
    auto member = row.as<MemberMessage>();
    member.live = 0;
    return InstallMessage::of(member);
  }
  return row;
}

}  // namespace sky::controlplane
