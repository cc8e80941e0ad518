#include "tests/soak/two_nodes.h"

#include <algorithm>
#include <cassert>
#include <stdexcept>

namespace sky::soak {

namespace {

constexpr uint32_t kDomains[] = {64501, 64502};
constexpr uint32_t kRoutes[] = {0xa01, 0xb01};  ///< that each gave the other
constexpr const char* kPrefixes[] = {"fd00:a::", "fd00:b::"};
constexpr const char* kHosts[] = {"fd00:a::1", "fd00:b::1"};
constexpr uint16_t kLink = 1;
constexpr uint32_t kSession = 5, kGroup = 7;
constexpr uint64_t kSessionId = 0x5e55105e55105;
constexpr uint64_t kTunGapNs = 11'000;  // a worker looks at its TUN that often
constexpr unsigned kBeside = 4;
constexpr uint64_t kSecrets = 1'000'000;  // others than the transit's
constexpr unsigned kRingFrames = 1024;
constexpr unsigned kMostTurns = 15'000;  // of 10 ms: a link that failed again and again is held down for a minute

}  // namespace

void TwoNodes::Track::follow(uint32_t step, uint64_t counter) {
  if (step == key.step) {
    used = std::max(used, counter + 1);
  } else {
    key.step = step;
    used = counter + 1;
  }
}

TwoNodes::TwoNodes(const dataplane::KeyPolicy& keys) : keys_(keys) {
  for (auto& node : nodes_) node = make_node();
  begin();
}

std::unique_ptr<Node> TwoNodes::make_node() const {
  return std::make_unique<Node>(NodeConfig{
      .ports = 2,
      .ring_frames = kRingFrames,
      .link_keys = keys_,
      .session_keys = keys_,
      .capacities = {.ports = 2, .links = 8, .sessions = 8, .rules = 1 << 12, .groups = 16, .destinations = 64},
      .start_ns = now_ns_});
}

/// All but keys.
void TwoNodes::install_circuits(unsigned end) {
  Node& node = *nodes_[end];
  const unsigned other = 1 - end;
  LinkMessage link = link_put(LinkPeer(kLink, kLink, 0), 0);
  link.peer_mac = nodes_[other]->port(0).port().mac();
  link.interval_us = 50'000;
  RuleMessage consume = consume_put(kRoutes[end], kLink, kSession, 0);
  consume.rule.twin = RouteId{kRoutes[other]};
  node.install(
      {message(link),
       message(SessionMessage{.session = SessionIndex{kSession}, .session_id = kSessionId, .domain = kDomains[other]}),
       message(consume), message(group_put(kGroup, kDomains[other], 100'000)),
       message(member_put(kGroup, 0, kLink, kRoutes[other], kRoutes[end], kSession, 0)),
       message(destination_put(kPrefixes[other], 32, GroupIndex{kGroup})),
       message(destination_put(kPrefixes[end], 32, kLocalGroup))});
}

/// The secrets of a life are its number's; a's way is the even one.
void TwoNodes::put_chains(unsigned end, Direction direction) {
  const bool sending = direction == Direction::send;
  const uint64_t of = uint64_t{life_} * 4 + (sending ? end : 1 - end);
  const unsigned parity = life_ % 2;
  nodes_[end]->install(
      {message(chain_put(KeyOwner::link, kLink, direction, parity, of + 1'000, secret_of(kSecrets + of))),
       message(chain_put(KeyOwner::session, kSession, direction, parity, of + 1'002, secret_of(kSecrets + of + 2)))});
}

void TwoNodes::shake_hands() {
  ++life_;
  for (unsigned end : {0u, 1u}) put_chains(end, Direction::receive);
  carry();
  lives_[life_ % 2] = Life{.link_chain = Chain(secret_of(kSecrets + uint64_t{life_} * 4)),
                           .link = {.key = {.life = life_}},
                           .session = {.key = {.life = life_}}};
  stepped_ns_ = now_ns_;
  for (unsigned end : {0u, 1u}) put_chains(end, Direction::send);
  carry();
  for (unsigned turns = 0; turns < kMostTurns; ++turns) {
    const auto up = [](const auto& node) {
      return node->tables->links.find(kLink)->usable() && node->tables->groups.find(kGroup)->lives[0].live;
    };
    if (std::ranges::all_of(nodes_, up)) return;
    turn(10 * kMs);
  }
  throw std::runtime_error("the link does not come up after a handshake");
}

void TwoNodes::restart_b() {
  carry();
  flaps_ += b().tables->stats.link(LinkIndex{kLink}).flaps.get();
  nodes_[1].reset();
  nodes_[1] = make_node();
  begin();
}

void TwoNodes::begin() {
  for (unsigned end : {0u, 1u}) install_circuits(end);
  transit.node_mac = b().port(1).port().mac();
  b().install(link_installs(transit, 1));
  b().install({message(consume_put(kTransitRoute, transit.link, kSession, 0))});
  shake_hands();
}

uint64_t TwoNodes::flaps() const {
  uint64_t sum = flaps_;
  for (const auto& node : nodes_) sum += node->tables->stats.link(LinkIndex{kLink}).flaps.get();
  return sum;
}

Bytes TwoNodes::packet_of(unsigned from, uint64_t number) const {
  Bytes out = ipv6({.source = kHosts[from], .destination = kHosts[1 - from], .payload = 64 + number % 200});
  for (unsigned i = 0; i < 8; ++i) out[out.size() - 1 - i] = static_cast<uint8_t>(number >> 8 * i);
  return out;
}

void TwoNodes::write(unsigned end, unsigned packets) {
  for (; packets > 0; --packets) nodes_[end]->tun_write(packet_of(end, sent_[end]++));
}

void TwoNodes::read(unsigned end) {
  const unsigned from = 1 - end;
  for (const Bytes& packet : nodes_[end]->tun_read()) {
    if (packet == packet_of(from, next_[from])) ++arrived_[from];
    ++next_[from];
  }
}

void TwoNodes::note(const Bytes& frame) {
  const auto carried = std::span(frame).subspan(sizeof(EthernetHeader));
  const Header header = read_header(carried);
  Life& life = lives_[header.epoch >> 7];
  const uint32_t before = life.link.key.step;
  const uint32_t step = before + ((header.epoch - before) & 127);
  last_frame = frame;
  const auto inside = open_frame(life.link_chain.step(step), carried);
  if (!inside) throw std::runtime_error("a frame of a's that does not open");
  if (step != before) stepped_ns_ = now_ns_;
  life.link.follow(step, header.lane_counter);
  if ((*inside)[0] != to_underlying(PacketType::datagram)) return;
  last_datagram = part(*inside, sizeof(PacketHeader), get(*inside, 5, 2));
  const uint64_t word = get(last_datagram, 0, 8);
  Track& session = life.session;
  const bool stepped = (word >> 62 & 1) != (session.key.step & 1);
  if (stepped) stepped_ns_ = now_ns_;
  session.follow(session.key.step + (stepped ? 1 : 0), word & 0xffffffffffff);
  if (record)
    seen.push_back({frame, last_datagram, life.link.key, session.key, header.lane_counter, word & 0xffffffffffff});
}

void TwoNodes::carry() {
  while (auto frame = a().port(0).pop()) {
    note(*frame);
    b().port(0).push(*frame);
  }
  while (auto frame = b().port(0).pop()) a().port(0).push(*frame);
  while (b().port(1).discard()) continue;
  for (const auto& node : nodes_) {
    node->punts();
    for (const InstallMessage& event : node->events()) {
      if (event.verb == Verb::circuit_damaged) damaged.insert(to_underlying(event.as<CircuitDamagedEvent>().route));
    }
  }
}

void TwoNodes::turn(uint64_t ns, unsigned from_a, unsigned from_b) {
  for (const auto& node : nodes_) now_ns_ = std::max(now_ns_, node->now_ns());
  now_ns_ += ns;
  write(0, from_a);
  write(1, from_b);
  for (const auto& node : nodes_) node->pass(now_ns_ - node->now_ns());
  // There and back within the turn, so that what was sent has arrived.
  for (const auto& node : nodes_) node->turn();
  carry();
  for (const auto& node : nodes_) node->worker_turn();
  carry();
  for (unsigned end : {0u, 1u}) read(end);
}

void TwoNodes::settle() {
  const uint64_t quiet_ns = 2 * keys_.hold_ns + 10 * kMs;
  for (turn(kMs, 1); now_ns_ - stepped_ns_ < quiet_ns;) turn(kMs, 1);  // only a packet shows its session's key
  come_to_rest();
}

void TwoNodes::come_to_rest() {
  for (int turns = 0; turns < 3; ++turns) {
    for (const auto& node : nodes_) node->worker_turn();
    carry();
  }
  for (unsigned end : {0u, 1u}) read(end);
}

unsigned TwoNodes::attack(unsigned port, const std::vector<Bytes>& frames) {
  assert(frames.size() + kBeside <= dataplane::kBurst);
  write(0, kBeside);
  for (const auto& node : nodes_) node->pass(kTunGapNs);
  a().worker_turn();
  for (const Bytes& frame : frames) b().port(port).push(frame);
  if (port != 0) b().worker_turn();  // what it finds used is what was used before this burst
  carry();
  b().worker_turn();
  carry();
  read(1);
  a().worker_turn();
  return kBeside;
}

Drop TwoNodes::verdict_of_frame(const Seen& old) const {
  const Track& track = now().link;
  const uint32_t ahead = (old.link.step - track.key.step) & 127;
  if (old.link.life % 2 != life_ % 2 || ahead > 1) return Drop::no_key;
  // A counter that the key in use has spent is not looked at further, whatever key it was once of.
  return ahead == 0 && old.link_counter < track.used ? Drop::replayed : Drop::bad_tag;
}

Drop TwoNodes::verdict_of_datagram(const Seen& old) const {
  const Track& track = now().session;
  if (old.session.life % 2 != life_ % 2) return Drop::session_no_key;
  const bool same_slot = (old.session.step & 1) == (track.key.step & 1);
  return same_slot && old.session_counter < track.used ? Drop::session_replayed : Drop::session_bad_tag;
}

}  // namespace sky::soak
