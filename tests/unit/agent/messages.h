// Good messages to start from: tests change one field, or draw indices at random.
#pragma once

#include "dataplane/protocol/frame.h"
#include "dataplane/protocol/install.h"

namespace sky::dataplane::test {

inline LinkMessage good_link(uint16_t index) {
  LinkMessage link;
  link.link = LinkIndex{index};
  link.ether_type = kDefaultEtherType;
  link.multiplier = 3;
  link.interval_us = 20'000;
  link.mtu = 1500;
  return link;
}

inline SessionMessage good_session(uint32_t index) {
  SessionMessage session;
  session.session = SessionIndex{index};
  return session;
}

inline KeyChainMessage good_chain(KeyOwner owner, Direction direction, uint32_t index, uint64_t key_id) {
  KeyChainMessage chain;
  chain.owner = owner;
  chain.direction = direction;
  chain.index = index;
  chain.key_id = key_id;
  chain.secret.fill(0x5a);
  return chain;
}

inline RuleMessage good_forward(uint32_t route, uint16_t in, uint16_t next) {
  RuleMessage put;
  put.rule.route_id = RouteId{route};
  put.rule.action = RuleAction::forward;
  put.rule.treatment = 2;
  put.rule.in_link = LinkIndex{in};
  put.rule.next_link = LinkIndex{next};
  put.rule.alternate_link = kNoLink;
  put.rule.next_route = RouteId{7};
  return put;
}

inline RuleMessage good_consume(uint32_t route, uint16_t in, uint32_t session) {
  RuleMessage put;
  put.rule.route_id = RouteId{route};
  put.rule.action = RuleAction::consume;
  put.rule.treatment = 2;
  put.rule.in_link = LinkIndex{in};
  put.rule.next_link = kNoLink;
  put.rule.alternate_link = kNoLink;
  put.rule.session = SessionIndex{session};
  put.rule.streams = 1;
  return put;
}

inline GroupMessage good_group(uint32_t index) {
  GroupMessage group;
  group.group = GroupIndex{index};
  group.probe_multiplier = 3;
  group.probe_interval_us = 50'000;
  return group;
}

inline MemberMessage good_member(uint32_t group, uint8_t slot, uint16_t link, uint32_t session) {
  MemberMessage member;
  member.slot = slot;
  member.group = GroupIndex{group};
  member.link = LinkIndex{link};
  member.session = SessionIndex{session};
  member.hop_limit = 50;
  member.treatment = 2;
  member.route = RouteId{11};
  member.consume = RouteId{12};
  member.mtu = 1400;
  return member;
}

/// fd00:`last`::/32
inline DestinationMessage good_destination(uint8_t last, GroupIndex group) {
  DestinationMessage put;
  put.family = Family::ipv6;
  put.length = 32;
  put.group = group;
  put.prefix = {0xfd, 0, 0, last};
  return put;
}

inline DeleteMessage delete_of(Verb verb, uint32_t index, uint8_t slot = 0) {
  DeleteMessage gone;
  gone.verb = verb;
  gone.index = index;
  gone.slot = slot;
  return gone;
}

inline DeleteMessage delete_of(const DestinationMessage& put) {
  DeleteMessage gone;
  gone.verb = Verb::delete_destination;
  gone.family = put.family;
  gone.length = put.length;
  gone.prefix = put.prefix;
  return gone;
}

}  // namespace sky::dataplane::test
