#include "tests/sim/dataplane.h"

#include <algorithm>
#include <cstring>

namespace sky::sim {
namespace {

constexpr uint64_t kMillisecond = 1'000'000;
constexpr uint64_t kRest_ns = 2'000 * kMillisecond;
constexpr uint64_t kOldKey_ns = 2'000 * kMillisecond;
constexpr uint64_t kMissGap_ns = 100 * kMillisecond;
constexpr unsigned kMostHeld = 64;
constexpr uint64_t kFromControlPlane = uint64_t{1} << 63;

Prefix prefix_of(const DestinationMessage& row) {
  return {.address = row.prefix, .length = row.length, .family = row.family};
}

Bytes probe_payload(uint64_t now_ns, uint64_t word) {
  const std::array<Be64, 2> words{Be64(now_ns), Be64(word)};
  Bytes bytes(sizeof words);
  std::memcpy(bytes.data(), &words, sizeof words);
  return bytes;
}

uint64_t second_word(const Bytes& payload) {
  Be64 word(0);
  if (payload.size() == 16) std::memcpy(&word, payload.data() + 8, sizeof word);
  return word.get();
}

}  // namespace

void KeySet::put(const KeyChainMessage& message) {
  seen.emplace(message.direction, message.key_id);
  const Chain chain{.key_id = message.key_id, .secret = message.secret};
  if (message.direction == Direction::receive) {
    receive[message.parity] = chain;
    newest = message.parity;
  } else if (message.wait_for_peer != 0) {
    waiting = chain;
    waiting_parity = message.parity;
  } else {
    send = chain;
    send_parity = message.parity;
    waiting.reset();
  }
}

KeySet::Chain* KeySet::open(const Secret& secret, uint64_t now_ns, bool& first) {
  for (unsigned parity : {0, 1}) {
    auto& chain = receive[parity];
    if (!chain || chain->until_ns <= now_ns || chain->secret != secret) continue;
    first = !chain->heard;
    chain->heard = true;
    if (first && receive[parity ^ 1]) receive[parity ^ 1]->until_ns = now_ns + kOldKey_ns;
    if (first && waiting && waiting->key_id == chain->key_id) {
      send = std::exchange(waiting, std::nullopt);
      send_parity = waiting_parity;
    }
    return &*chain;
  }
  return nullptr;
}

uint8_t KeySet::keyed() const {
  return static_cast<uint8_t>((receive[0] || receive[1] ? 1 : 0) | (send ? 2 : 0));
}

Dataplane::Dataplane(const dataplane::Capacities& capacities, uint64_t boot_id, MacAddress mac, Transmit transmit,
                     Punt punt)
    : capacities_(capacities),
      boot_id_(boot_id),
      mac_(mac),
      transmit_(std::move(transmit)),
      punt_(std::move(punt)),
      references_(capacities) {}

controlplane::Attached Dataplane::attach(uint64_t fence) const {
  controlplane::Attached attached{.boot_id = boot_id_, .fence = fence, .rows = {}};
  const auto add = [&](const auto& row) { attached.rows.push_back(InstallMessage::of(row)); };
  for (const auto& [index, link] : links_) {
    LinkMessage row = link.row;
    row.up = link.up;
    row.keyed = link.keys.keyed();
    row.rx_parity = static_cast<uint8_t>(link.keys.newest);
    row.tx_parity = static_cast<uint8_t>(link.keys.send_parity);
    add(row);
  }
  for (const auto& [index, session] : sessions_) {
    SessionMessage row = session.row;
    row.keyed = session.keys.keyed();
    row.rx_parity = static_cast<uint8_t>(session.keys.newest);
    row.tx_parity = static_cast<uint8_t>(session.keys.send_parity);
    add(row);
  }
  for (const auto& [slot, row] : rules_) add(row);
  for (const auto& [index, row] : groups_) add(row);
  for (const auto& [key, member] : members_) {
    MemberMessage row = member;
    row.live = lives_.at(key).live;
    add(row);
  }
  for (const auto& [prefix, group] : destinations_) {
    add(DestinationMessage{.family = prefix.family, .length = prefix.length, .group = group, .prefix = prefix.address});
  }
  return attached;
}

controlplane::Acked Dataplane::install(const controlplane::Install& batch, uint64_t now_ns) {
  now_ns_ = now_ns;
  const dataplane::Messages messages(batch.messages);
  const auto plan = dataplane::check(messages, *this, references_);
  if (!plan) return {.generation = batch.generation, .error = plan.error().error, .index = plan.error().index};
  const auto applied = dataplane::apply(messages, *plan, *this, *this, references_);
  if (!applied) return {.generation = batch.generation, .error = applied.error().error, .index = applied.error().index};
  return {.generation = batch.generation, .error = InstallError::none, .index = 0};
}

// --- tables

bool Dataplane::key_seen(const KeyChainMessage& chain) const {
  const auto seen = [&](const KeySet& keys) { return keys.seen.contains({chain.direction, chain.key_id}); };
  if (chain.owner == KeyOwner::link) {
    const auto link = links_.find(LinkIndex{static_cast<uint16_t>(chain.index)});
    return link != links_.end() && seen(link->second.keys);
  }
  const auto session = sessions_.find(SessionIndex{chain.index});
  return session != sessions_.end() && seen(session->second.keys);
}

const Rule* Dataplane::rule(RouteId route) const {
  const auto found = rules_.find(to_underlying(route) & (capacities_.rules - 1));
  return found != rules_.end() && found->second.rule.route_id == route ? &found->second.rule : nullptr;
}

bool Dataplane::slot_free(RouteId route) const {
  const uint32_t slot = to_underlying(route) & (capacities_.rules - 1);
  const auto rests = resting_.find(slot);
  return !rules_.contains(slot) && (rests == resting_.end() || rests->second <= now_ns_);
}

std::optional<MemberMessage> Dataplane::member(GroupIndex group, uint8_t slot) const {
  const auto found = members_.find({group, slot});
  return found == members_.end() ? std::nullopt : std::optional(found->second);
}

std::optional<GroupIndex> Dataplane::destination(const DestinationMessage& key) const {
  const auto found = destinations_.find(prefix_of(key));
  return found == destinations_.end() ? std::nullopt : std::optional(found->second);
}

bool Dataplane::stage_destination(const DestinationMessage& put) {
  destinations_[prefix_of(put)] = put.group;
  return true;
}
void Dataplane::stage_delete_destination(const DestinationMessage& key) {
  destinations_.erase(prefix_of(key));
}
void Dataplane::put_link(const LinkMessage& link) {
  links_[link.link].row = link;
}
void Dataplane::put_session(const SessionMessage& session) {
  sessions_[session.session].row = session;
}
void Dataplane::put_key_chain(const KeyChainMessage& chain) {
  if (chain.owner == KeyOwner::link) {
    links_.at(LinkIndex{static_cast<uint16_t>(chain.index)}).keys.put(chain);
  } else {
    sessions_.at(SessionIndex{chain.index}).keys.put(chain);
  }
}
void Dataplane::put_rule(const RuleMessage& message) {
  rules_[to_underlying(message.rule.route_id) & (capacities_.rules - 1)] = message;
  if (message.copied != 0) sessions_.at(message.rule.session).copies.try_emplace(copied_streams(message.copied).stream);
}
void Dataplane::put_member(const MemberMessage& member) {
  const std::pair key{member.group, member.slot};
  members_[key] = member;
  Life& life = lives_[key];
  if (life.circuit != member.circuit) life = {.circuit = member.circuit};
}
void Dataplane::delete_member(GroupIndex group, uint8_t slot) {
  members_.erase({group, slot});
  lives_.erase({group, slot});
}
void Dataplane::delete_rule(RouteId route) {
  const uint32_t slot = to_underlying(route) & (capacities_.rules - 1);
  rules_.erase(slot);
  resting_[slot] = now_ns_ + kRest_ns;
}

// --- packets

bool Dataplane::link_up(LinkIndex link) const {
  const auto found = links_.find(link);
  return found != links_.end() && found->second.up;
}

bool Dataplane::transmit(LinkIndex index, Frame frame) {
  const auto link = links_.find(index);
  if (link == links_.end() || !link->second.keys.send) {
    drop("no_send_key");
    return false;
  }
  frame.source = mac_;
  frame.link_index = link->second.row.peer_index;
  frame.sealed_with = link->second.keys.send->secret;
  transmit_(link->second.row.port, std::move(frame));
  return true;
}

void Dataplane::send(const ControlPacket& packet) {
  Frame frame{.payload = Bytes(packet.payload.begin(), packet.payload.begin() + packet.length)};
  frame.type = PacketType{packet.type};
  if (packet.kind == SlotKind::handshake) {
    frame.handshake = true;
    frame.source = mac_;
    frame.header = packet.header;
    transmit_(packet.port, std::move(frame));
    return;
  }
  if (packet.kind == SlotKind::route_packet) {
    frame.route = packet.route;
    frame.hop_limit = packet.hop_limit;
  }
  transmit(packet.link, std::move(frame));
}

void Dataplane::punt(SlotKind kind, LinkIndex link, const Frame& frame, uint64_t now_ns) {
  ControlPacket packet{.kind = kind,
                       .type = to_underlying(frame.type),
                       .length = static_cast<uint16_t>(frame.payload.size()),
                       .link = link,
                       .route = frame.route,
                       .at_ns = now_ns};
  std::ranges::copy(frame.payload, packet.payload.begin());
  punt_(controlplane::PacketIn{packet});
}

void Dataplane::receive(PortIndex port, const Frame& frame, uint64_t now_ns) {
  now_ns_ = now_ns;
  if (frame.handshake) {
    ControlPacket packet{.kind = SlotKind::handshake,
                         .length = static_cast<uint16_t>(frame.payload.size()),
                         .port = port,
                         .mac = frame.source,
                         .ether_type = kDefaultEtherType,
                         .header = frame.header,
                         .at_ns = now_ns};
    std::ranges::copy(frame.payload, packet.payload.begin());
    return punt_(controlplane::PacketIn{packet});
  }
  const auto found = links_.find(LinkIndex{static_cast<uint16_t>(frame.link_index)});
  if (found == links_.end()) return drop("unknown_link");
  Link& link = found->second;
  if (link.row.port != port) return drop("wrong_port");
  bool first = false;
  const KeySet::Chain* chain = link.keys.open(frame.sealed_with, now_ns, first);
  if (chain == nullptr) return drop("bad_tag");
  if (first) {
    punt_(controlplane::DataplaneEvent{InstallMessage::of(
        ChainConfirmedEvent{.owner = KeyOwner::link, .index = to_underlying(found->first), .key_id = chain->key_id})});
  }
  link.heard_ns = now_ns;
  if (frame.route == kControlRoute) {
    on_control(found->first, frame, now_ns);
  } else {
    on_route(found->first, frame, now_ns);
  }
}

void Dataplane::on_control(LinkIndex index, const Frame& frame, uint64_t now_ns) {
  Link& link = links_.at(index);
  if (frame.type == PacketType::handshake || frame.type == PacketType::signal) {
    return punt(SlotKind::link_packet, index, frame, now_ns);
  }
  if (frame.type != PacketType::transport_ping || frame.payload.empty()) return;
  const bool hears_us = frame.payload[0] == 1;
  link.good_pings = hears_us ? link.good_pings + 1 : 0;
  if (link.up && !hears_us) set_up(link, false, now_ns);
  if (!link.up && link.good_pings >= 3 && now_ns >= link.hold_until_ns) set_up(link, true, now_ns);
}

void Dataplane::on_route(LinkIndex in_link, Frame frame, uint64_t now_ns) {
  const auto found = rules_.find(to_underlying(frame.route) & (capacities_.rules - 1));
  if (found == rules_.end() || found->second.rule.route_id != frame.route) return drop("unknown_route");
  const Rule& rule = found->second.rule;
  if (rule.in_link != in_link) return drop("wrong_link");
  if (rule.action == RuleAction::consume) return on_consume(found->second, frame, now_ns);
  if (--frame.hop_limit == 0) return drop("hop_limit");
  const bool protects = rule.alternate_link != kNoLink;
  const bool next = link_up(rule.next_link);
  if (!next && !(protects && link_up(rule.alternate_link))) return drop("link_down");
  frame.route = next ? rule.next_route : rule.alternate_route;
  transmit(next ? rule.next_link : rule.alternate_link, std::move(frame));
}

void Dataplane::on_consume(const RuleMessage& message, const Frame& frame, uint64_t now_ns) {
  const Rule& rule = message.rule;
  if (frame.type == PacketType::handshake) return punt(SlotKind::route_packet, rule.in_link, frame, now_ns);
  if (frame.type == PacketType::datagram) return on_datagram(message, frame, now_ns);
  if (frame.type == PacketType::ping) {
    ++counts_.probes_answered;
    Frame pong{.payload = frame.payload};
    pong.type = PacketType::pong;
    pong.route = rule.twin;
    transmit(rule.in_link, std::move(pong));
  } else if (frame.type == PacketType::pong) {
    if ((second_word(frame.payload) & kFromControlPlane) != 0) {
      return punt(SlotKind::route_packet, rule.in_link, frame, now_ns);
    }
    on_pong(rule, frame);
  }
}

void Dataplane::on_pong(const Rule& rule, const Frame& frame) {
  const uint64_t word = second_word(frame.payload);
  const std::pair key{GroupIndex{static_cast<uint32_t>(word >> 3)}, static_cast<uint8_t>(word & 7)};
  const auto member = members_.find(key);
  if (member == members_.end() || !ends_at(member->second, rule.route_id)) return;
  Life& life = lives_.at(key);
  life.waiting = false;
  life.unanswered = 0;
  if (++life.answered >= 3) set_live(key.first, key.second, true);
}

void Dataplane::on_datagram(const RuleMessage& message, const Frame& frame, uint64_t now_ns) {
  const Rule& rule = message.rule;
  Session& session = sessions_.at(rule.session);
  const auto copied = session.copies.find(frame.stream);
  if ((frame.stream < rule.stream || frame.stream >= rule.stream + rule.streams) && copied == session.copies.end())
    return drop("wrong_stream");
  if (frame.session_id != session.row.session_id) return drop("session_bad_tag");
  bool first = false;
  const KeySet::Chain* chain = session.keys.open(frame.inner_sealed_with, now_ns, first);
  if (chain == nullptr) return drop("session_bad_tag");
  if (first) {
    punt_(controlplane::DataplaneEvent{InstallMessage::of(ChainConfirmedEvent{
        .owner = KeyOwner::session, .index = to_underlying(rule.session), .key_id = chain->key_id})});
  }
  if (copied != session.copies.end() && !copied->second.insert(frame.number).second) return drop("copy_duplicate");
  ++counts_.delivered;
}

void Dataplane::seal_datagram(const MemberMessage& member) {
  const Session& session = sessions_.at(member.session);
  if (!session.keys.send) return drop("session_no_send_key");
  Frame frame{.hop_limit = member.hop_limit, .payload = {}};
  frame.type = PacketType::datagram;
  const auto [link, route] = first_hop(member);
  frame.route = route;
  frame.inner_sealed_with = session.keys.send->secret;
  frame.session_id = session.row.session_id;
  frame.number = ++sealed_;
  const MemberMessage* other = second(member);
  frame.stream = other == nullptr ? member.stream : copied_streams(member.copied).stream;
  if (other != nullptr) {
    const auto [other_link, other_route] = first_hop(*other);
    Frame copy = frame;
    copy.hop_limit = other->hop_limit;
    copy.route = other_route;
    transmit(other_link, std::move(copy));
    ++counts_.copied;
  }
  transmit(link, std::move(frame));
}

std::pair<LinkIndex, RouteId> Dataplane::first_hop(const MemberMessage& member) const {
  const bool alternate = !link_up(member.link) && member.alternate_link != kNoLink && link_up(member.alternate_link);
  return alternate ? std::pair(member.alternate_link, member.alternate_route) : std::pair(member.link, member.route);
}

const MemberMessage* Dataplane::second(const MemberMessage& first) const {
  if (groups_.at(first.group).mode != GroupMode::copy || first.copied == 0) return nullptr;
  for (const unsigned slot : live_slots(first.group)) {
    const MemberMessage& other = members_.at({first.group, static_cast<uint8_t>(slot)});
    if (slot != first.slot && other.copied == first.copied) return &other;
  }
  return nullptr;
}

std::vector<unsigned> Dataplane::live_slots(GroupIndex group) const {
  std::vector<unsigned> slots;
  for (unsigned slot = 0; slot < kMaxMembers; ++slot) {
    const auto life = lives_.find({group, static_cast<uint8_t>(slot)});
    if (life == lives_.end() || !life->second.live) continue;
    if (link_up(first_hop(members_.at(life->first)).first)) slots.push_back(slot);
  }
  return slots;
}

const MemberMessage* Dataplane::pick(GroupIndex group) const {
  const MemberMessage* standby = nullptr;
  for (const unsigned slot : live_slots(group)) {
    const MemberMessage& member = members_.at({group, static_cast<uint8_t>(slot)});
    if (member.weight != 0) return &member;
    standby = &member;
  }
  return standby;
}

std::optional<GroupIndex> Dataplane::group_of(const Ipv6Address& to) const {
  std::optional<std::pair<uint8_t, GroupIndex>> best;
  for (const auto& [prefix, group] : destinations_) {
    if (prefix.family != Family::ipv6 || !contains(prefix, IpAddress{.bytes = to, .family = Family::ipv6})) continue;
    if (!best || prefix.length > best->first) best = {prefix.length, group};
  }
  return best ? std::optional(best->second) : std::nullopt;
}

void Dataplane::send_datagram(const Ipv6Address& to, uint64_t now_ns) {
  now_ns_ = now_ns;
  const auto group = group_of(to);
  if (!group) return drop("no_destination");
  if (*group == kLocalGroup) return;
  if (const MemberMessage* member = pick(*group)) return seal_datagram(*member);
  if (held_[*group] < kMostHeld) {
    ++held_[*group];
  } else {
    drop("hold_full");
  }
  if (now_ns - missed_ns_[*group] < kMissGap_ns) return;
  missed_ns_[*group] = now_ns;
  punt_(controlplane::DataplaneEvent{InstallMessage::of(MissEvent{.group = *group})});
}

// --- time

void Dataplane::set_up(Link& link, bool up, uint64_t now_ns) {
  link.up = up;
  link.good_pings = 0;
  if (!up) link.hold_until_ns = now_ns + uint64_t{link.row.hold_ms} * kMillisecond;
  punt_(controlplane::DataplaneEvent{
      InstallMessage::of(LinkStateEvent{.up = up, .link = link.row.link, .at_ns = now_ns})});
}

void Dataplane::set_live(GroupIndex group, uint8_t slot, bool live) {
  Life& life = lives_.at({group, slot});
  if (life.live == live) return;
  life.live = live;
  if (!live) life.answered = 0;
  punt_(controlplane::DataplaneEvent{
      InstallMessage::of(MemberStateEvent{.slot = slot, .live = live, .group = group, .rtt_us = 2000})});
  if (!live) return;
  for (unsigned held = std::exchange(held_[group], 0); held != 0; --held) {
    if (const MemberMessage* member = pick(group)) seal_datagram(*member);
  }
}

void Dataplane::tick_link(Link& link, uint64_t now_ns) {
  const uint64_t interval_ns = uint64_t{link.row.interval_us} * 1000;
  const bool hears = now_ns - link.heard_ns <= link.row.multiplier * interval_ns && link.heard_ns != 0;
  if (link.up && !hears) set_up(link, false, now_ns);
  if (!link.keys.send || now_ns < link.ping_ns) return;
  link.ping_ns = now_ns + interval_ns;
  Frame ping{.payload = Bytes(sizeof(LivenessPayload))};
  ping.type = PacketType::transport_ping;
  ping.payload[0] = hears ? 1 : 0;
  transmit(link.row.link, std::move(ping));
}

void Dataplane::tick_member(const MemberMessage& member, uint64_t now_ns) {
  const GroupMessage& group = groups_.at(member.group);
  Life& life = lives_.at({member.group, member.slot});
  if (now_ns < life.probe_ns) return;
  life.probe_ns = now_ns + uint64_t{group.probe_interval_us} * 1000;
  if (life.waiting) {
    life.answered = 0;
    if (++life.unanswered >= group.probe_multiplier) set_live(member.group, member.slot, false);
  }
  life.waiting = true;
  const auto [link, route] = first_hop(member);
  if (!link_up(link)) return;
  Frame probe{.hop_limit = member.hop_limit,
              .payload = probe_payload(now_ns, uint64_t{to_underlying(member.group)} << 3 | member.slot)};
  probe.type = PacketType::ping;
  probe.route = route;
  transmit(link, std::move(probe));
}

void Dataplane::tick(uint64_t now_ns) {
  now_ns_ = now_ns;
  for (auto& [index, link] : links_) tick_link(link, now_ns);
  for (const auto& [key, member] : std::map(members_)) tick_member(member, now_ns);
}

}  // namespace sky::sim
