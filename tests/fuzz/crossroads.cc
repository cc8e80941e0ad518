#include "tests/fuzz/crossroads.h"

#include <gtest/gtest.h>

namespace sky::fuzz {

namespace {

using namespace test;

constexpr unsigned kLinks = 3;
constexpr uint32_t kDomain = 64500;
constexpr uint32_t kForward = 0xabc00123, kBack = 0xabc00124, kClear = 0xabc00125, kConsume = 0x321,
                   kConsumeToo = 0x322;
constexpr uint32_t kSession = 5, kGroup = 7;
constexpr size_t kPacketTypeAt = sizeof(EthernetHeader) + kLinkOverhead;
constexpr unsigned kMostSteps = 200;
constexpr size_t kMostFrame = 1'536;  ///< what a buffer of the ports holds, and more than their MTU

NodeConfig config_of(bool stub) {
  NodeConfig config;
  if (stub) config.engine = [] { return std::make_unique<StubEngine>(); };
  return config;
}

std::vector<InstallMessage> keyed(std::vector<InstallMessage> installs, uint64_t key_id) {
  for (InstallMessage& each : installs) {
    if (each.verb != Verb::put_key_chain) continue;
    auto chain = each.as<KeyChainMessage>();
    chain.key_id = key_id;
    each = message(chain);
  }
  return installs;
}

/// What the agent lets through of a control plane's packet.
bool is_well_formed(const ControlPacket& packet) {
  if (packet.length > packet.payload.size()) return false;
  if (packet.kind == SlotKind::handshake)
    return to_underlying(packet.port) < kLinks && packet.header[0] == version_kind(FrameKind::handshake);
  const unsigned link = to_underlying(packet.link);
  if (link < 1 || link > kLinks) return false;
  if (packet.kind == SlotKind::link_packet) return true;
  return packet.kind == SlotKind::route_packet && packet.route != kControlRoute && packet.hop_limit != 0 &&
         is_treatment(packet.treatment);
}

/// A frame is never shorter than 60 bytes.
size_t least_inside(bool clear) {
  return clear ? kMinSealedBytes + kTagBytes : kMinSealedBytes;
}

bool any_prefix(const Bytes& address, std::initializer_list<std::pair<std::string_view, unsigned>> prefixes) {
  return std::ranges::any_of(prefixes, [&](const auto& prefix) {
    return (prefix.first.find(':') != std::string_view::npos) == (address.size() == 16) &&
           in_prefix(address, test::address(prefix.first), prefix.second);
  });
}

}  // namespace

Crossroads::Crossroads(bool stub) : stub_(stub), router_(config_of(stub)) {}

void Crossroads::begin() {
  peers_.clear();
  for (unsigned i = 0; i < kLinks; ++i) {
    const uint64_t key = router_.next_key();
    LinkPeer& peer = peers_.emplace_back(static_cast<uint16_t>(1 + i), static_cast<uint16_t>(101 + i), key,
                                         i == 1 ? Suite::chacha20_poly1305 : Suite::aes_256_gcm);
    peer.kind = FrameKind{static_cast<uint8_t>(i)};
    peer.node_mac = router_->port(i).port().mac();
    router_->install(keyed(link_installs(peer, i), key));
  }
  SessionPeer far(kSession, 55);
  router_->install(keyed(session_installs(far, kDomain), router_.next_key()));
  RuleMessage forward = forward_put(kForward, 1, 2, 0x5a5a5a5a, make_treatment(2, FrameKind::header));
  forward.rule.alternate_link = LinkIndex{3};
  forward.rule.alternate_route = RouteId{0x33};
  forward.rule.twin = RouteId{kBack};
  RuleMessage back = forward_put(kBack, 2, 1, 0x44, make_treatment(0x20 | 1, FrameKind::header));
  back.rule.twin = RouteId{kForward};
  router_->install(
      {message(forward), message(back), message(forward_put(kClear, 3, 3, 0x99, make_treatment(2, FrameKind::clear))),
       message(consume_put(kConsume, 1, kSession, 0, 16)), message(consume_put(kConsumeToo, 2, kSession, 16, 16)),
       message(group_put(kGroup, kDomain, 50'000)),
       message(member_put(kGroup, 0, 2, 0x55, kConsumeToo, kSession, 8192)),
       message(member_put(kGroup, 1, 1, 0x66, kConsume, kSession, 8208, 0)),
       message(destination_put("fd00:f::", 32, GroupIndex{kGroup})),
       message(destination_put("10.15.0.0", 16, GroupIndex{kGroup})),
       message(destination_put("fd00:1::", 32, kLocalGroup)), message(destination_put("10.1.0.0", 16, kLocalGroup))});
  bring_up();
}

void Crossroads::bring_up() {
  Bytes ping{1, 3, 0, 0};
  put(ping, 1'000'000, 4);
  put(ping, 1, 8);
  put(ping, 0, 8);
  for (unsigned i = 0; i < kLinks; ++i) {
    for (int times = 0; times < 3; ++times)
      router_->port(i).push(seal(peers_[i], peers_[i].next_header(), packet(8, 0, ping)));
  }
  router_->turn();
  for (const LinkPeer& peer : peers_) EXPECT_TRUE(router_->tables->links.find(peer.link)->usable());
  router_->turn();  // the group's first probes
  router_.drain();
}

void Crossroads::run(Input input, bool frames_only) {
  begin();
  for (unsigned steps = 0; !input.empty() && steps < kMostSteps; ++steps) step(input, frames_only);
  router_.clear();
}

void Crossroads::step(Input& input, bool frames_only) {
  const uint8_t head = input.byte();
  const unsigned link = (head >> 3) % kLinks;
  const bool chained = head >= 0xf0;
  switch (const unsigned kind = head & 7; frames_only ? kind & 3 : kind) {
    case 0:
    case 4:
      return arrive(link, input.chunk(), chained, stub_);
    case 5:
      return from_tun(input);
    case 6:
      return from_control_plane(input);
    case 7:
      return pass(input);
    default:
      return arrive(link, sealed(link, input), chained, true);
  }
}

void Crossroads::arrive(unsigned port, const Bytes& frame, bool chained, bool tag_holds) {
  const unsigned pieces = chained ? 2 : 1;
  if (frame.empty() || frame.size() > pieces * kMostFrame) return;
  // A ping may be answered at once, out of a buffer that just came back with the bytes behind its frame still poisoned.
  const bool ping = frame.size() > kPacketTypeAt && (stub_ ? frame[kPacketTypeAt] == 8 : tag_holds);
  router_->port(port).poison = !ping;
  router_->port(port).push(frame, (frame.size() + pieces - 1) / pieces);
  router_->worker_turn();
  router_->port(port).poison = false;
  const Change change = judge(1);
  EXPECT_EQ(chained && frame.size() > 1 ? 1 : 0, change.frame_chained);
}

Bytes Crossroads::seal(LinkPeer& peer, const Header& header, const Bytes& inside) {
  if (!stub_) return peer.seal(header, inside);
  const bool clear = header.kind() == FrameKind::clear;
  Bytes padded = inside;
  padded.resize(std::max(inside.size(), least_inside(clear)));
  return peer.ethernet_towards_node() + header.bytes() + Bytes(clear ? 0 : kTagBytes) + padded;
}

/// Any header and any packet under a tag that holds.
Bytes Crossroads::sealed(unsigned link, Input& input) {
  LinkPeer& peer = peers_[link];
  Header header = peer.next_header();
  const uint8_t odd = input.byte();
  if ((odd & 64) != 0) header.version_kind = version_kind(peer.kind);
  if (header.kind() == FrameKind::clear) header.epoch = 0, header.lane_counter = 0;
  if ((odd & 1) != 0) header.version_kind = input.byte();
  if ((odd & 2) != 0) header.hop_limit = input.byte();
  if ((odd & 4) != 0) header.epoch = input.byte();
  if ((odd & 8) != 0) header.class_ecn = input.byte();
  if ((odd & 16) != 0) header.link_index = input.number<uint32_t>();
  if ((odd & 32) != 0) header.lane_counter = input.number<uint64_t>();
  peer.step = header.epoch & 1;
  Bytes inside = input.chunk();
  if (inside.size() >= 7 && (odd & 128) == 0) {  // a size that fits, else nothing comes past it
    const size_t size = inside.size() - 7;
    inside[5] = static_cast<uint8_t>(size >> 8);
    inside[6] = static_cast<uint8_t>(size);
  }
  return seal(peer, header, inside);
}

void Crossroads::from_tun(Input& input) {
  const Bytes packet = input.chunk();
  if (packet.empty() || packet.size() > 1'500) return;
  router_->pass(11'000);  // the TUN is read again
  router_->tun_write(packet);
  router_->worker_turn();
  judge(0);
}

void Crossroads::from_control_plane(Input& input) {
  auto control = input.plain<ControlPacket>();
  if (!is_well_formed(control)) return;
  router_->inject(control);
  router_->worker_turn();
  judge(0);
}

void Crossroads::pass(Input& input) {
  router_->pass(uint64_t{1} << input.below(40));
  router_->turn();
  judge(0);
}

Change Crossroads::judge(int64_t pushed) {
  for (unsigned i = 0; i < kLinks; ++i) {
    for (const Bytes& frame : router_->port(i).pop_all()) judge_frame(peers_[i], frame);
  }
  for (const Bytes& packet : router_->tun_read()) judge_delivered(packet);
  for (const ControlPacket& punt : router_->punts()) {
    EXPECT_LE(punt.length, punt.payload.size());
    EXPECT_TRUE(punt.kind == SlotKind::handshake || to_underlying(punt.link) == peers_[to_underlying(punt.port)].link);
  }
  router_->events();
  const Change change = router_->change();
  EXPECT_EQ(pushed, change.received);
  router_->expect_at_rest();
  return change;
}

void Crossroads::judge_frame(LinkPeer& peer, const Bytes& frame) {
  ASSERT_GE(frame.size(), 60u);
  const Header header = read_header(part(frame, 14));
  if (header.version_kind == version_kind(FrameKind::handshake)) return;  // the control plane's own
  if (!stub_) {
    EXPECT_TRUE(peer.open(frame).has_value());
    return;
  }
  EXPECT_LE(header.version_kind, version_kind(peer.kind));
  EXPECT_GE(header.version_kind, version_kind(FrameKind::frame));
  EXPECT_EQ(peer.peer_index, header.link_index);
  EXPECT_GT(header.hop_limit, 0);
  EXPECT_EQ(0, header.class_ecn & 0x07);
  const bool clear = header.kind() == FrameKind::clear;
  const Bytes inside = part(frame, kPacketTypeAt - (clear ? kTagBytes : 0));
  const size_t packet = 7 + get(inside, 5, 2);
  ASSERT_EQ(std::max(packet, least_inside(clear)), inside.size());
  for (size_t at = packet; at < inside.size(); ++at) EXPECT_EQ(0, inside[at]) << "padding is zeros";
}

void Crossroads::judge_delivered(const Bytes& packet) {
  ASSERT_TRUE(is_ip(packet));
  const bool six = packet[0] >> 4 == 6;
  EXPECT_TRUE(any_prefix(part(packet, six ? 24 : 16, six ? 16 : 4), {{"fd00:1::", 32}, {"10.1.0.0", 16}}));
  EXPECT_TRUE(any_prefix(part(packet, six ? 8 : 12, six ? 16 : 4), {{"fd00:f::", 32}, {"10.15.0.0", 16}}));
}

}  // namespace sky::fuzz
