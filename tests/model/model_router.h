// A naive router to compare the real one with: maps, one packet at a time, libsodium. Written from docs/protocol.md; it
// shares with the dataplane the install messages and the counters' names and nothing else.
// It says for each input what must come out and which counters move. Its clock stands still but for strangers' rations:
// what starts in the node starts by an install or a ping. Groups have one member, in slot 0, of which a flow takes it.
#pragma once

#include <algorithm>
#include <climits>
#include <map>
#include <optional>
#include <vector>

#include "dataplane/protocol/install.h"
#include "tests/model/ecn.h"
#include "tests/model/handshake_tokens.h"
#include "tests/support/change.h"
#include "tests/support/oracle.h"

namespace sky::test {

class ModelRouter {
 public:
  struct Sent {
    unsigned port, queue;
    Bytes frame;  ///< from the link header on; empty for a packet that started in the node
  };
  struct Outcome {
    Change change;
    std::vector<Sent> sent;
    std::vector<Bytes> delivered, punted;
  };
  explicit ModelRouter(uint16_t port_mtu) : port_mtu_(port_mtu) {}
  Outcome take() { return std::exchange(out_, {}); }
  void install(const InstallMessage& m) {  // one that the dataplane accepted
    const auto gone = m.as<DeleteMessage>();
    const auto prefix = m.as<DestinationMessage>();
    if (m.verb == Verb::put_link) links_[to_underlying(m.as<LinkMessage>().link)].put = m.as<LinkMessage>();
    if (m.verb == Verb::put_session)
      sessions_[to_underlying(m.as<SessionMessage>().session)].put = m.as<SessionMessage>();
    if (m.verb == Verb::put_rule) rules_[to_underlying(m.as<RuleMessage>().rule.route_id)] = m.as<RuleMessage>().rule;
    if (m.verb == Verb::put_group) groups_[to_underlying(m.as<GroupMessage>().group)].put = m.as<GroupMessage>();
    if (m.verb == Verb::put_member) groups_[to_underlying(m.as<MemberMessage>().group)].member = m.as<MemberMessage>();
    if (m.verb == Verb::put_destination)
      destinations_[{prefix.family, prefix.length, prefix.prefix}] = to_underlying(prefix.group);
    if (m.verb == Verb::delete_link) links_.erase(gone.index);
    if (m.verb == Verb::delete_session) sessions_.erase(gone.index);
    if (m.verb == Verb::delete_rule) rules_.erase(gone.index);
    if (m.verb == Verb::delete_group) groups_.erase(gone.index);
    if (m.verb == Verb::delete_member) groups_[gone.index].member.reset();
    if (m.verb == Verb::delete_destination) destinations_.erase({gone.family, gone.length, gone.prefix});
    if (m.verb != Verb::put_key_chain) return;
    const auto chain = m.as<KeyChainMessage>();
    Keys& keys = chain.owner == KeyOwner::link ? links_[chain.index].keys : sessions_[chain.index].keys;
    if (chain.direction == Direction::send) {
      keys.send.emplace(chain.secret, chain.suite);
      keys.send_parity = chain.parity;
      keys.counters.clear();
    } else {
      keys.receive.insert_or_assign(chain.parity, Chain(chain.secret, chain.suite));
      std::erase_if(keys.seen, [&](const auto& window) { return window.first.first >> 1 == chain.parity; });
    }
  }

  void frame(unsigned port, const Bytes& frame, uint64_t now_ns) {
    now_ns_ = now_ns;
    ++out_.change.received;
    if (std::exchange(port_, port) != port) ++burst_;
    if (frame.size() < 60) return drop(Drop::frame_short);
    if (get(frame, 12, 2) != 0x88B5) return drop(Drop::not_skywire);
    if (frame.size() > 14u + port_mtu_) return drop(Drop::frame_long);
    const Bytes inside = part(frame, 14);
    const Header header = read_header(inside);
    const unsigned kind = header.version_kind & 15;
    if (header.version_kind >> 4 != 1) return drop(Drop::bad_version);
    if (kind == 3) {
      const Bytes message = part(inside, 16);
      const bool returned = carries_a_proof(message);
      if (!of_source_[{port, part(frame, 6, 6), returned}].take(50'000'000, 20, now_ns_) ||
          !of_port_[{port, returned}].take(2'000'000, 50, now_ns_))
        return drop(Drop::punt_metered);
      return punt(message);
    }
    if (kind > 3) return drop(Drop::bad_kind);
    if ((header.class_ecn & 7) != 0) return drop(Drop::bad_reserved);
    const auto link = links_.find(header.link_index);
    if (link == links_.end()) return drop(Drop::unknown_link);
    if (to_underlying(link->second.put.port) != port) return drop(Drop::wrong_port);
    if (kind > link->second.put.least_kind) return drop(Drop::weak_kind);
    if (kind == 2) return packet(link->second, header, part(inside, 16));
    if (kind == 1 && inside.size() < 64) return drop(Drop::frame_short);
    Keys& keys = link->second.keys;
    const unsigned parity = header.epoch >> 7, step = header.epoch & 127;
    const auto chain = keys.receive.find(parity);
    if (chain == keys.receive.end() || step > 1) return drop(Drop::no_key);
    if (header.lane_counter >> 56 != 0) return drop(Drop::bad_lane);
    SeenCounters& seen = keys.seen[{parity << 1 | step, 0}];
    if (!seen.looks_fresh(header.lane_counter, burst_)) return drop(Drop::replayed);
    const auto opened = open_frame(chain->second.step(step), inside);
    if (!opened) return drop(Drop::bad_tag);
    if (!seen.add(header.lane_counter)) return drop(Drop::replayed);
    packet(link->second, header, *opened);
  }
  void plain(const Bytes& packet) { ++out_.change.injected_tun, ingress(packet); }
  void release() {  // a turn: frames, release, plain, timers
    port_ = UINT_MAX;
    for (size_t at = held_.size(); at-- > 0;) {
      const auto group = groups_.find(held_[at].first);
      if (group != groups_.end() && !ready(group->second)) continue;
      const auto packets = std::move(held_[at].second);
      held_.erase(held_.begin() + static_cast<ptrdiff_t>(at));
      for (const Bytes& packet : packets) --out_.change.held, ingress(packet);
    }
  }
  void timers() {
    for (auto& [index, link] : links_) {
      if (link.up && !link.hears) {
        link.up = link.pinged = false;
        link.faulty = true;  // its hold is longer than a world lives
      }
      if (link.good >= 3 && !link.faulty) link.up = true;
      if (!std::exchange(link.pinged, true) && link.keys.send) send(link, 64, 0, Bytes(7 + 24), 0, true);
    }
    for (auto& [index, group] : groups_) {
      if (!group.member || group.circuit == group.member->circuit) continue;
      group.circuit = group.member->circuit;
      send(links_[to_underlying(group.member->link)], 64, group.member->treatment,
           test::packet(4, to_underlying(group.member->route), Bytes(16)), 0, true);
    }
  }

 private:
  struct Keys {
    std::map<unsigned, Chain> receive;  ///< [parity]
    std::optional<Chain> send;
    unsigned send_parity = 0;
    std::map<std::pair<unsigned, unsigned>, SeenCounters> seen;  ///< [epoch slot, stream]
    std::map<unsigned, uint64_t> counters;                       ///< [stream]
  };
  struct Link {
    LinkMessage put;
    Keys keys;
    bool up = false, faulty = false, hears = false, pinged = false;
    unsigned good = 0;
  };
  struct Session {
    SessionMessage put;
    Keys keys;
  };
  struct Group {
    GroupMessage put;
    std::optional<MemberMessage> member;
    CircuitId circuit{};  ///< the last that started to live
  };
  void drop(Drop why) { ++out_.change.of(why); }
  void local() { ++out_.change.delivered_local; }
  void punt(Bytes payload) { ++out_.change.punted, out_.punted.push_back(std::move(payload)); }
  void packet(Link& link, const Header& header, const Bytes& inside) {
    const size_t size = get(inside, 5, 2), whole = std::max<size_t>(7 + size, 14);
    const unsigned kind = header.version_kind & 15;
    if (kind == 2 ? inside.size() < whole : inside.size() != whole) return drop(Drop::bad_size);
    const auto route = static_cast<uint32_t>(get(inside, 1, 4));
    if (kind != 0 && (route == 0 || (kind == 1 && inside[0] != 17))) return drop(Drop::wrong_kind);
    const Bytes payload = part(inside, 7, size);
    if (route == 0) return between_two(link, inside[0], payload);
    const auto rule = rules_.find(route);
    if (rule == rules_.end()) return drop(Drop::unknown_route);
    if (rule->second.in_link != link.put.link) return drop(Drop::wrong_link);
    if (kind > (rule->second.treatment >> 2 & 3u)) return drop(Drop::weak_kind);
    if (rule->second.action == RuleAction::forward) return forward(rule->second, header, inside[0], payload);
    consume(rule->second, link, inside[0], payload, header.class_ecn >> 3 & 3);
  }
  void between_two(Link& link, unsigned type, const Bytes& payload) {
    if (type == 2) return local();
    if (type == 3 || type == 64 || type == 65) return punt(payload);
    if (type != 8) return drop(Drop::bad_type);
    if (payload.size() != 24) return drop(Drop::bad_control);
    link.hears = (payload[0] & 1) != 0;
    link.good = link.hears ? link.good + 1 : 0;
    local();
  }
  void forward(const Rule& rule, const Header& header, unsigned type, const Bytes& payload) {
    if (header.hop_limit <= 1) return drop(Drop::hop_limit);
    if (header.class_ecn >> 5 != rule.treatment >> 5) return drop(Drop::wrong_class);
    const bool primary = usable(rule.next_link);
    const LinkIndex next = primary ? rule.next_link : rule.alternate_link;
    if (!usable(next)) return drop(Drop::link_down);
    const bool demoted = (rule.treatment & 3) == 1 && links_[to_underlying(rule.in_link)].put.realtime_kbit_s == 0;
    const auto treatment = static_cast<uint8_t>(demoted ? (rule.treatment & ~3) | 2 : rule.treatment);
    const uint32_t route = to_underlying(primary ? rule.next_route : rule.alternate_route);
    send(links_[to_underlying(next)], static_cast<uint8_t>(header.hop_limit - 1), treatment,
         test::packet(type, route, payload), header.class_ecn & 0x18);
  }
  void consume(const Rule& rule, const Link& link, unsigned type, const Bytes& payload, unsigned ecn) {
    if (type == 2) return local();
    if (type == 3) return punt(payload);
    if (type == 5) return pong(rule, payload);
    if (type == 17) return deliver(rule, payload, ecn);
    if (type != 4) return drop(Drop::bad_type);
    if (payload.size() != 16) return drop(Drop::bad_control);
    if (!link.up) return drop(Drop::link_down);
    local();
    ++out_.change.injected_probe;
    send(links_[to_underlying(link.put.link)], 64, rule.treatment, test::packet(5, to_underlying(rule.twin), payload));
  }
  void pong(const Rule& rule, const Bytes& payload) {
    if (payload.size() != 16) return drop(Drop::bad_control);
    const uint64_t asker = get(payload, 8, 8);
    if (asker >> 63 != 0) return punt(payload);
    const auto group = asker >> 35 == 0 ? groups_.find(static_cast<uint32_t>(asker >> 3)) : groups_.end();
    const bool good = group != groups_.end() && (asker & 7) == 0 && group->second.member &&
                      group->second.member->consume == rule.route_id && get(payload, 0, 8) <= now_ns_;
    good ? local() : drop(Drop::bad_control);
  }
  void deliver(const Rule& rule, const Bytes& datagram, unsigned ecn) {
    if (datagram.size() < 24) return drop(Drop::inner_malformed);
    Session& session = sessions_[to_underlying(rule.session)];
    const auto epoch = static_cast<unsigned>(datagram[0] >> 6), stream = unsigned(get(datagram, 0, 2)) & 0x3fff;
    if (stream < rule.stream || stream >= unsigned{rule.stream} + rule.streams) return drop(Drop::session_stream);
    const auto chain = session.keys.receive.find(epoch >> 1);
    if (chain == session.keys.receive.end()) return drop(Drop::session_no_key);
    SeenCounters& seen = session.keys.seen[{epoch, stream}];
    const uint64_t counter = get(datagram, 2, 6);
    if (!seen.looks_fresh(counter, burst_)) return drop(Drop::session_replayed);
    auto inner = open_datagram(chain->second.step(epoch & 1), session.put.session_id, datagram);
    if (!inner) return drop(Drop::session_bad_tag);
    if (!seen.add(counter)) return drop(Drop::session_replayed);
    if (!is_ip(*inner)) return drop(Drop::inner_malformed);
    if (ecn == 3 && !mark_congestion(*inner)) return drop(Drop::bad_ecn);
    if (destination(*inner, false) != to_underlying(kLocalGroup)) return drop(Drop::inner_destination);
    const auto source = groups_.find(destination(*inner, true));
    if (source == groups_.end() || source->second.put.domain != session.put.domain) return drop(Drop::inner_source);
    ++out_.change.delivered_tun;
    out_.delivered.push_back(*inner);
  }
  void ingress(const Bytes& inner) {
    if (!is_ip(inner)) return drop(Drop::not_ip);
    const auto group = groups_.find(destination(inner, false));
    if (group == groups_.end()) return drop(Drop::no_destination);
    if (!ready(group->second)) {
      auto waiting = std::ranges::find(held_, group->first, [](const auto& each) { return each.first; });
      if (waiting == held_.end()) waiting = held_.insert(held_.end(), {group->first, {}});
      if (waiting->second.size() == 64) return drop(Drop::hold_full);
      waiting->second.push_back(inner);
      ++out_.change.held;
      return;
    }
    const MemberMessage& member = *group->second.member;
    if (inner.size() > member.mtu) return drop(Drop::inner_too_big);
    Session& session = sessions_[to_underlying(member.session)];
    if (!session.keys.send) return drop(Drop::no_send_key);
    const Bytes datagram =
        seal_datagram(session.keys.send->step(0), session.put.session_id, session.keys.send_parity << 1, member.stream,
                      session.keys.counters[member.stream]++, inner);
    send(links_[to_underlying(member.link)], member.hop_limit, member.treatment,
         test::packet(17, to_underlying(member.route), datagram), ecn_bits(inner) << 3);
  }
  void send(Link& link, uint8_t hop_limit, uint8_t treatment, Bytes inside, unsigned ecn = 0,
            bool starts_here = false) {
    out_.change.injected_probe += starts_here;
    unsigned kind = std::min<unsigned>(link.put.kind, treatment >> 2 & 3);
    if (get(inside, 1, 4) == 0 || (kind == 1 && (inside[0] != 17 || inside.size() < 32))) kind = 0;
    inside.resize(std::max<size_t>(inside.size(), 14));
    if (32 + inside.size() > link.put.mtu) return drop(Drop::too_big);
    if (kind == 2) inside.resize(std::max<size_t>(inside.size(), 30));
    if (kind != 2 && !link.keys.send) return drop(Drop::no_send_key);
    const Header header{.version_kind = static_cast<uint8_t>(0x10 | kind),
                        .hop_limit = hop_limit,
                        .epoch = static_cast<uint8_t>(kind == 2 ? 0 : link.keys.send_parity << 7),
                        .class_ecn = static_cast<uint8_t>((treatment & 0xe0) | ecn),
                        .link_index = link.put.peer_index,
                        .lane_counter = kind == 2 ? 0 : link.keys.counters[0]++};
    const Bytes frame = kind == 2 ? header.bytes() + inside : seal_frame(link.keys.send->step(0), header, inside);
    out_.sent.push_back({to_underlying(link.put.port), treatment & 3u, starts_here ? Bytes{} : frame});
    ++out_.change.transmitted;
  }
  bool usable(LinkIndex link) const {
    const auto found = links_.find(to_underlying(link));
    return found != links_.end() && found->second.up;
  }
  bool ready(const Group& group) const {
    return group.member && group.circuit != CircuitId{} && usable(group.member->link);
  }
  uint32_t destination(const Bytes& packet, bool source) const {
    const bool six = packet[0] >> 4 == 6;
    const Bytes address = part(packet, six ? (source ? 8 : 24) : (source ? 12 : 16), six ? 16 : 4);
    std::pair<int, uint32_t> best{-1, UINT32_MAX};
    for (const auto& [key, group] : destinations_) {
      const auto& [family, length, prefix] = key;
      if ((family == Family::ipv6) != six || length <= best.first) continue;
      if (in_prefix(address, prefix, length)) best = {length, group};
    }
    return best.second;
  }
  uint16_t port_mtu_;
  unsigned port_ = UINT_MAX;  ///< of the burst under way
  uint64_t burst_ = 1;
  uint64_t now_ns_ = 0;
  Outcome out_;
  std::map<uint32_t, Link> links_;
  std::map<uint32_t, Session> sessions_;
  std::map<uint32_t, Rule> rules_;
  std::map<uint32_t, Group> groups_;
  std::map<std::tuple<Family, uint8_t, Ipv6Address>, uint32_t> destinations_;
  std::vector<std::pair<uint32_t, std::vector<Bytes>>> held_;  ///< [group], in the order in which waiting began
  std::map<std::tuple<unsigned, Bytes, bool>, HandshakeTokens> of_source_;
  std::map<std::pair<unsigned, bool>, HandshakeTokens> of_port_;
};

}  // namespace sky::test
