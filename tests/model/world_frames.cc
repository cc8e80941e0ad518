// What arrives in a World.
#include "tests/model/world.h"

namespace sky::test {

namespace {

constexpr std::string_view kHere6[] = {"fd00:1::1", "fd00:1:8000::7"};
constexpr std::string_view kThere6[] = {"fd00:2::1", "fd00:2:3::4", "fc00::5"};
constexpr std::string_view kHere4[] = {"10.1.0.1", "10.1.128.7"};
constexpr std::string_view kThere4[] = {"10.2.0.1", "10.2.3.4", "192.0.2.1"};
constexpr uint8_t kPing = 4, kPong = 5, kTransportPing = 8, kDatagram = 17;
constexpr size_t kCaptured = 2'000;

}  // namespace

Bytes World::inner(bool outward) {
  const bool six = chance(50);
  const std::string_view here = six ? kHere6[below(2)] : kHere4[below(2)];
  const std::string_view there = six ? kThere6[below(3)] : kThere4[below(3)];
  const IpSpec spec{.source = outward ? here : there,
                    .destination = outward ? there : here,
                    .payload = chance(80) ? below(200) : below(1'390)};
  Bytes packet = six ? ipv6(spec) : ipv4(spec);
  if (chance(5)) packet.resize(below(packet.size() + 20));
  if (!packet.empty() && chance(3)) packet[below(std::min<size_t>(packet.size(), 8))] ^= 0x11;
  if (packet.empty()) packet = {0x60};
  return packet;
}

Bytes World::datagram(const Rule& rule) {
  const auto session = sessions_.find(to_underlying(rule.session));
  if (session == sessions_.end() || session->second.peers.empty() || chance(5)) return some_bytes(below(100));
  std::vector<SessionPeer>& peers = session->second.peers;
  SessionPeer& peer = chance(90) ? peers.back() : peers[below(peers.size())];
  peer.step = static_cast<uint32_t>(below(2));
  const unsigned stream = rule.stream + (chance(95) ? static_cast<unsigned>(below(rule.streams)) : 10u);
  if (chance(90)) return peer.seal(stream, inner(chance(5)));
  return peer.seal(static_cast<unsigned>(below(4)), stream, below(peer.counters[stream] + 50), inner(false));
}

Bytes World::probe() {
  Bytes payload;
  put(payload, chance(90) ? below(1'000) : UINT64_MAX, 8);
  put(payload, chance(80) ? below(8) << 3 : word() >> below(64), 8);
  if (chance(5)) payload.resize(below(30));
  return payload;
}

Bytes World::packet_for(const Rule& rule) {
  const uint32_t route = to_underlying(rule.route_id);
  if (rule.action == RuleAction::consume && chance(60)) return packet(kDatagram, route, datagram(rule));
  if (chance(15)) return packet(chance(50) ? kPing : kPong, route, probe());
  const auto type = static_cast<unsigned>(chance(70) ? below(20) : below(256));
  return packet(type, route, some_bytes(chance(80) ? below(150) : below(1'462)));
}

Bytes World::between_two() {
  if (chance(40)) {
    Bytes payload{static_cast<uint8_t>(chance(99) ? 1 : below(3)), 3, 0, 0};
    put(payload, 1'000'000, 4);
    put(payload, word() >> 1, 8);
    put(payload, 0, 8);
    if (chance(5)) payload.resize(below(30));
    return packet(kTransportPing, 0, payload);
  }
  const unsigned types[] = {2, 3, 64, 65, 17, static_cast<unsigned>(below(256))};
  return packet(types[below(6)], 0, some_bytes(below(200)));
}

void World::spoil(Header& header) {
  const auto byte = static_cast<uint8_t>(below(256));
  switch (below(8)) {
    case 0:
      header.version_kind = byte;
      break;
    case 1:
      header.hop_limit = static_cast<uint8_t>(below(3));
      break;
    case 2:
      header.epoch = byte;
      break;
    case 3:
      header.class_ecn = byte;
      break;
    case 4:
      header.link_index = static_cast<uint32_t>(chance(80) ? below(12) : word());
      break;
    case 5:
      header.lane_counter |= below(4) << 56;
      break;
    case 6:
      header.lane_counter += chance(1) ? word() >> 10 : below(3'000);
      break;
    default:
      header.lane_counter -= std::min(header.lane_counter, below(10'000));
      break;
  }
}

World::Arrival World::sealed() {
  auto& [index, ends] = any(links_);
  LinkPeer stranger(index, 0, 0);
  LinkPeer& peer = ends.peers.empty() ? stranger
                   : chance(90)       ? ends.peers.back()
                                      : ends.peers[below(ends.peers.size())];
  peer.step = static_cast<uint32_t>(below(2));
  Header header = peer.next_header();
  header.hop_limit = static_cast<uint8_t>(chance(95) ? 2 + below(63) : below(3));
  Bytes inside;
  if (rules_.empty() || chance(10)) {
    inside = between_two();
  } else {
    // Mostly a route of this link.
    const Rule* rule = &any(rules_).second;
    for (int tries = 0; rule->in_link != LinkIndex{index} && tries < 30; ++tries) rule = &any(rules_).second;
    header.class_ecn = static_cast<uint8_t>((chance(95) ? rule->treatment & 0xe0 : below(8) << 5) | below(4) << 3);
    inside = packet_for(*rule);
    const FrameKind kind = chance(80) ? least_kind_of(rule->treatment) : any_kind();
    if (kind == FrameKind::clear) header.epoch = 0, header.lane_counter = 0;
    if (kind != FrameKind::header || inside.size() >= 32) header.version_kind = version_kind(kind);
    if (chance(3)) inside[1 + below(4)] ^= static_cast<uint8_t>(1 << below(8));
    if (chance(2)) inside[5 + below(2)] ^= static_cast<uint8_t>(1 << below(8));
  }
  if (chance(8)) spoil(header);
  if (header.lane_counter >> 50 == 0) peer.counter = std::max(peer.counter, header.lane_counter + 1);
  return {ends.port, peer.seal(header, inside)};
}

void World::mutate(Bytes& frame) {
  switch (below(5)) {
    case 0:
      for (uint64_t flips = 1 + below(4); flips > 0; --flips)
        frame[below(frame.size())] ^= static_cast<uint8_t>(1 << below(8));
      break;
    case 1:
      frame[below(std::min<size_t>(frame.size(), 46))] ^= static_cast<uint8_t>(1 + below(255));
      break;
    case 2:
      frame.resize(below(frame.size()));
      break;
    case 3:
      frame = frame + some_bytes(1 + below(20));
      break;
    default:
      frame.resize(60 + below(1'470));
      break;
  }
}

World::Arrival World::frame() {
  if (links_.empty() || chance(2)) {
    Arrival noise{static_cast<unsigned>(below(kPorts)), some_bytes(below(1'530))};
    if (noise.frame.size() >= 16 && chance(80)) {
      const uint8_t like[] = {0x88, 0xB5, static_cast<uint8_t>(chance(50) ? 0x10 : 0x13), 50};
      std::copy(std::begin(like), std::end(like), noise.frame.begin() + 12);
    }
    return noise;
  }
  if (!captured_.empty() && chance(10)) return captured_[below(captured_.size())];
  Arrival arrival = sealed();
  if (chance(15)) mutate(arrival.frame);
  if (chance(1)) arrival.port = static_cast<unsigned>(below(kPorts));
  if (captured_.size() < kCaptured) {
    captured_.push_back(arrival);
  } else if (chance(10)) {
    captured_[below(kCaptured)] = arrival;
  }
  return arrival;
}

std::vector<World::Arrival> World::pings(uint16_t link) {
  const auto found = links_.find(link);
  if (found == links_.end() || found->second.peers.empty()) return {};
  std::vector<Arrival> out;
  for (int ping = 0; ping < 3; ++ping)
    out.push_back({found->second.port, found->second.peers.back().ping(true, 1'000'000)});
  return out;
}

}  // namespace sky::test
