// Puts with the values that most tests want, and the deletes.
#pragma once

#include <vector>

#include "dataplane/protocol/frame.h"
#include "dataplane/protocol/install.h"
#include "tests/support/oracle.h"

namespace sky::test {

template <typename T>
InstallMessage message(const T& of) {
  return InstallMessage::of(of);
}

inline constexpr uint32_t kAnyRate = 1'000'000'000;  ///< kbit/s: more than a test sends
/// What a rule of that treatment must have.
inline uint32_t rate_for(uint8_t treatment) {
  return (treatment & kTreatmentQueue) == to_underlying(Queue::realtime) ? kAnyRate : 0;
}

inline LinkMessage link_put(const LinkPeer& peer, unsigned port) {
  return {.link = LinkIndex{peer.link},
          .peer_index = peer.peer_index,
          .port = PortIndex{static_cast<uint16_t>(port)},
          .peer_mac = peer.mac,
          .ether_type = peer.ether_type,
          .least_kind = to_underlying(peer.kind),
          .multiplier = 3,
          .interval_us = 1'000'000,
          .hold_ms = 1'000,
          .mtu = 1500,
          .kind = to_underlying(peer.kind),
          .realtime_kbit_s = kAnyRate};
}

inline KeyChainMessage chain_put(KeyOwner owner, uint32_t index, Direction direction, unsigned parity, uint64_t key_id,
                                 const Secret& secret, Suite suite = Suite::aes_256_gcm) {
  return {.owner = owner,
          .direction = direction,
          .parity = static_cast<uint8_t>(parity),
          .index = index,
          .key_id = key_id,
          .suite = suite,
          .secret = secret};
}

/// Link and both its chains; key IDs follow the link's index.
inline std::vector<InstallMessage> link_installs(const LinkPeer& peer, unsigned port) {
  const uint64_t key_id = 1'000 + peer.link;
  return {message(link_put(peer, port)),
          message(chain_put(KeyOwner::link, peer.link, Direction::receive, peer.parity, key_id, peer.towards_secret,
                            peer.suite)),
          message(chain_put(KeyOwner::link, peer.link, Direction::send, peer.parity, key_id, peer.from_secret,
                            peer.suite))};
}

inline SessionMessage session_put(const SessionPeer& peer, uint32_t domain) {
  return {.session = SessionIndex{peer.session}, .session_id = peer.session_id, .domain = domain};
}

inline std::vector<InstallMessage> session_installs(const SessionPeer& peer, uint32_t domain) {
  const uint64_t key_id = (uint64_t{1} << 32) + peer.session;  // no link's
  return {message(session_put(peer, domain)),
          message(chain_put(KeyOwner::session, peer.session, Direction::receive, peer.parity, key_id,
                            peer.towards_secret, peer.suite)),
          message(chain_put(KeyOwner::session, peer.session, Direction::send, peer.parity, key_id, peer.from_secret,
                            peer.suite))};
}

inline RuleMessage forward_put(uint32_t route, uint16_t in_link, uint16_t next_link, uint32_t next_route,
                               uint8_t treatment = 2) {
  return {.rate_kbit_s = rate_for(treatment),
          .rule = {.route_id = RouteId{route},
                   .in_link = LinkIndex{in_link},
                   .action = RuleAction::forward,
                   .treatment = treatment,
                   .next_link = LinkIndex{next_link},
                   .alternate_link = kNoLink,
                   .next_route = RouteId{next_route}}};
}

inline RuleMessage consume_put(uint32_t route, uint16_t in_link, uint32_t session, uint16_t stream, uint8_t streams = 1,
                               uint32_t back = 0x77, uint8_t treatment = 2, uint8_t worker = 0) {
  return {.rate_kbit_s = rate_for(treatment),
          .rule = {.route_id = RouteId{route},
                   .in_link = LinkIndex{in_link},
                   .action = RuleAction::consume,
                   .treatment = treatment,
                   .next_link = kNoLink,
                   .alternate_link = kNoLink,
                   .twin = RouteId{back},
                   .session = SessionIndex{session},
                   .stream = stream,
                   .streams = streams,
                   .worker = worker}};
}

inline GroupMessage group_put(uint32_t group, uint32_t domain, uint32_t probe_interval_us = 10'000'000) {
  return {.probe_multiplier = 3, .group = GroupIndex{group}, .probe_interval_us = probe_interval_us, .domain = domain};
}

inline MemberMessage member_put(uint32_t group, uint8_t slot, uint16_t link, uint32_t route, uint32_t consume,
                                uint32_t session, uint16_t stream, uint8_t weight = 1) {
  return {.slot = slot,
          .hop_limit = 55,
          .group = GroupIndex{group},
          .link = LinkIndex{link},
          .route = RouteId{route},
          .consume = RouteId{consume},
          .session = SessionIndex{session},
          .stream = stream,
          .mtu = 1400,
          .treatment = 2,
          .weight = weight,
          .circuit = {slot, 1, 2, 3}};
}

inline DestinationMessage destination_put(std::string_view prefix, unsigned length, GroupIndex group) {
  const bool six = prefix.find(':') != std::string_view::npos;
  return {.family = six ? Family::ipv6 : Family::ipv4,
          .length = static_cast<uint8_t>(length),
          .group = group,
          .prefix = address(prefix)};
}

inline DeleteMessage delete_of(Verb verb, uint32_t index, uint8_t slot = 0) {
  return {.verb = verb, .slot = slot, .index = index};
}
inline DeleteMessage delete_destination(const DestinationMessage& put) {
  return {.verb = Verb::delete_destination, .family = put.family, .length = put.length, .prefix = put.prefix};
}

}  // namespace sky::test
