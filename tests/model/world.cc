#include "tests/model/world.h"

namespace sky::test {

namespace {

constexpr uint32_t kRuleSlots = 256;
constexpr std::string_view kAddresses6[] = {"fd00:1::1", "fd00:1:8000::7", "fd00:2::1", "fd00:2:3::4", "fc00::5", "::"};
constexpr std::string_view kAddresses4[] = {"10.1.0.1", "10.1.128.7", "10.2.0.1", "10.2.3.4", "192.0.2.1", "0.0.0.0"};

/// The bits past the prefix are zero, as the contract wants.
Ipv6Address masked(Ipv6Address address, unsigned length) {
  for (unsigned bit = length; bit < 128; ++bit) address[bit / 8] &= static_cast<uint8_t>(~(0x80u >> bit % 8));
  return address;
}

}  // namespace

Bytes World::some_bytes(size_t count) {
  Bytes out(count);
  for (uint8_t& byte : out) byte = static_cast<uint8_t>(below(256));
  return out;
}

FrameKind World::any_kind() {
  return FrameKind{static_cast<uint8_t>(below(3))};
}

// --- installs

namespace {

Suite suite_of(uint64_t key) {
  return key % 2 == 0 ? Suite::aes_256_gcm : Suite::chacha20_poly1305;
}

}  // namespace

std::vector<InstallMessage> World::new_link(uint16_t index) {
  const uint64_t key = next_key_++;
  LinkPeer peer(index, static_cast<uint16_t>(below(65536)), key, suite_of(key));
  peer.parity = static_cast<unsigned>(below(2));
  peer.kind = chance(70) ? FrameKind::clear : any_kind();
  auto installs = link_installs(peer, static_cast<unsigned>(below(kPorts)));
  if (chance(20)) {
    auto put = installs[0].as<LinkMessage>();
    put.realtime_kbit_s = 0;
    installs[0] = message(put);
  }
  for (size_t i : {1, 2}) {
    auto chain = installs[i].as<KeyChainMessage>();
    chain.key_id = key;
    installs[i] = message(chain);
  }
  if (chance(10)) installs.erase(installs.begin() + static_cast<ptrdiff_t>(1 + below(2)));
  return installs;
}

std::vector<InstallMessage> World::new_session(uint32_t index) {
  SessionPeer peer(index, next_key_++);
  std::vector<InstallMessage> out{message(session_put(peer, static_cast<uint32_t>(64500 + below(3))))};
  if (chance(90)) {
    for (const InstallMessage& chain : renewed(KeyOwner::session, index)) out.push_back(chain);
  }
  return out;
}

std::vector<InstallMessage> World::renewed(KeyOwner owner, uint32_t index) {
  const uint64_t key = next_key_++;
  const auto parity = static_cast<unsigned>(below(2));
  return {message(chain_put(owner, index, Direction::receive, parity, key, secret_of(key * 2), suite_of(key))),
          message(chain_put(owner, index, Direction::send, parity, key, secret_of(key * 2 + 1), suite_of(key)))};
}

InstallMessage World::new_rule() {
  const auto route = static_cast<uint32_t>((word() & 0xfffff000) | below(kRuleSlots));
  const uint8_t treatment = make_treatment(static_cast<uint8_t>(below(3) << 5 | below(3)), any_kind());
  const auto link = static_cast<uint16_t>(below(size_.links));
  if (chance(40)) {
    return message(consume_put(route, link, static_cast<uint32_t>(below(size_.sessions)),
                               static_cast<uint16_t>(below(6)), static_cast<uint8_t>(1 + below(3)),
                               static_cast<uint32_t>(1 + below(1000)), treatment));
  }
  RuleMessage rule = forward_put(route, link, static_cast<uint16_t>(below(size_.links)),
                                 1 + static_cast<uint32_t>(word() >> 33), treatment);
  if (chance(50)) {
    rule.rule.alternate_link = LinkIndex{static_cast<uint16_t>(below(size_.links))};
    rule.rule.alternate_route = RouteId{1 + static_cast<uint32_t>(word() >> 33)};
  }
  return message(rule);
}

InstallMessage World::new_member(uint32_t group) {
  MemberMessage member = member_put(group, 0, static_cast<uint16_t>(below(size_.links)),
                                    1 + static_cast<uint32_t>(word() >> 33), rules_.empty() ? 1 : any(rules_).first,
                                    static_cast<uint32_t>(below(size_.sessions)), static_cast<uint16_t>(below(4)));
  member.hop_limit = static_cast<uint8_t>(40 + below(25));
  member.mtu = static_cast<uint16_t>(576 + below(900));
  member.treatment = make_treatment(static_cast<uint8_t>(below(8) << 5 | below(3)), any_kind());
  member.circuit = {static_cast<uint8_t>(1 + below(100)), 1};
  return message(member);
}

InstallMessage World::new_destination() {
  const bool six = chance(50);
  const unsigned most = six ? 128 : 32;
  const auto length = static_cast<unsigned>(chance(90) ? most - below(most / 2) : below(most + 1));
  DestinationMessage put =
      destination_put(six ? kAddresses6[below(6)] : kAddresses4[below(6)], length,
                      chance(30) ? kLocalGroup : GroupIndex{static_cast<uint32_t>(below(size_.groups))});
  put.prefix = masked(put.prefix, length);
  return message(put);
}

std::vector<std::vector<InstallMessage>> World::beginning() {
  std::vector<std::vector<InstallMessage>> out;
  for (uint16_t link = 0; link < size_.links; ++link) out.push_back(new_link(link));
  for (uint32_t session = 0; session < size_.sessions; ++session) out.push_back(new_session(session));
  for (uint32_t group = 0; group < size_.groups; ++group)
    out.push_back({message(group_put(group, static_cast<uint32_t>(64500 + below(3))))});
  for (unsigned i = 0; i < size_.rules; ++i) out.push_back({new_rule()});
  for (unsigned i = 0; i < size_.destinations; ++i) out.push_back({new_destination()});
  for (const char* whole : {"fd00:1::", "10.1.0.0"})
    out.push_back({message(destination_put(whole, whole[0] == 'f' ? 32 : 16, kLocalGroup))});
  for (const char* whole : {"fd00:2::", "10.2.0.0"})
    out.push_back({message(destination_put(whole, whole[0] == 'f' ? 32 : 16, GroupIndex{0}))});
  return out;
}

std::vector<InstallMessage> World::change() {
  switch (below(9)) {
    case 0:
      return {new_rule()};
    case 1:
      return {new_destination()};
    case 2:
      return {new_member(static_cast<uint32_t>(below(size_.groups)))};
    case 3:
      return renewed(KeyOwner::link, static_cast<uint32_t>(below(size_.links)));
    case 4:
      return renewed(KeyOwner::session, static_cast<uint32_t>(below(size_.sessions)));
    case 5: {
      const auto& [index, ends] = any(links_);
      LinkPeer peer(index, 0, 0);
      peer.kind = any_kind();
      LinkMessage put = link_put(peer, ends.port);
      put.peer_index = static_cast<uint16_t>(below(65536));
      put.mtu = static_cast<uint16_t>(chance(50) ? 1500 : 576 + below(900));
      return {message(put)};
    }
    case 6:
      return {message(group_put(static_cast<uint32_t>(below(size_.groups)), static_cast<uint32_t>(64500 + below(3))))};
    case 7:
      return links_.contains(static_cast<uint16_t>(size_.links - 1)) ? deletion() : new_link(size_.links - 1);
    default:
      return deletion();
  }
}

std::vector<InstallMessage> World::deletion() {
  switch (below(6)) {
    case 0:
      return {message(delete_of(Verb::delete_link, static_cast<uint32_t>(below(size_.links))))};
    case 1:
      return {message(delete_of(Verb::delete_member, static_cast<uint32_t>(below(size_.groups))))};
    case 2:
      return {message(delete_of(Verb::delete_group, static_cast<uint32_t>(below(size_.groups))))};
    case 3:
      return {message(delete_of(Verb::delete_session, static_cast<uint32_t>(below(size_.sessions))))};
    case 4:
      if (destinations_.empty()) break;
      return {message(delete_destination(any(destinations_).second))};
    default:
      break;
  }
  return {message(delete_of(Verb::delete_rule, rules_.empty() ? 1 : any(rules_).first))};
}

void World::accepted(const std::vector<InstallMessage>& batch) {
  for (const InstallMessage& m : batch) {
    const auto gone = m.as<DeleteMessage>();
    if (m.verb == Verb::put_link)
      links_[to_underlying(m.as<LinkMessage>().link)].port = to_underlying(m.as<LinkMessage>().port);
    if (m.verb == Verb::put_rule) rules_[to_underlying(m.as<RuleMessage>().rule.route_id)] = m.as<RuleMessage>().rule;
    if (m.verb == Verb::put_destination) {
      const auto put = m.as<DestinationMessage>();
      destinations_[{put.prefix, put.length + (put.family == Family::ipv4 ? 1000u : 0u)}] = put;
    }
    if (m.verb == Verb::put_session)
      sessions_[to_underlying(m.as<SessionMessage>().session)].id = m.as<SessionMessage>().session_id;
    if (m.verb == Verb::delete_link) links_.erase(static_cast<uint16_t>(gone.index));
    if (m.verb == Verb::delete_session) sessions_.erase(gone.index);
    if (m.verb == Verb::delete_rule) rules_.erase(gone.index);
    if (m.verb == Verb::delete_destination)
      destinations_.erase({gone.prefix, gone.length + (gone.family == Family::ipv4 ? 1000u : 0u)});
    if (m.verb != Verb::put_key_chain) continue;
    const auto chain = m.as<KeyChainMessage>();
    if (chain.direction == Direction::send) continue;
    if (chain.owner == KeyOwner::link) {
      const auto index = static_cast<uint16_t>(chain.index);
      links_[index].peers.emplace_back(index, 0, chain.key_id, chain.suite).parity = chain.parity;
    } else {
      SessionEnds& ends = sessions_[chain.index];
      ends.peers.emplace_back(chain.index, chain.key_id, chain.suite).parity = chain.parity;
      ends.peers.back().session_id = ends.id;
    }
  }
}

}  // namespace sky::test
