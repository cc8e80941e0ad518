// What goes up to the control plane and what comes down from it: punts of handshakes and signals, metered where a
// stranger can send them, and the three kinds of slots on their way out.
#include "tests/packet/crossroads.h"

namespace sky::test {
namespace {

constexpr uint8_t kHandshakeType = 3, kSignal = 64, kDeadRoutes = 65;

class Control : public Crossroads {
 protected:
  void SetUp() override {
    Crossroads::SetUp();
    node.install({message(consume_put(kRoute, left.link, far.session, 0, 1, kNext))});
  }
  Bytes handshake(size_t size = 200) {
    return left.ethernet_towards_node() + Header{.version_kind = 0x13, .hop_limit = 0}.bytes() + pattern(size);
  }
};

// --- up

TEST_F(Control, PuntsHandshakeFramesWhole) {
  EXPECT_TRUE(node.exchange(0, {handshake()}).empty());
  EXPECT_EQ((Change{.received = 1, .punted = 1}), node.change());
  const auto punts = node.punts();
  ASSERT_EQ(1u, punts.size());
  const ControlPacket& punt = punts[0];
  EXPECT_EQ(SlotKind::handshake, punt.kind);
  EXPECT_EQ(kHandshakeType, punt.type);
  EXPECT_EQ(kNoLink, punt.link);
  EXPECT_EQ(PortIndex{0}, punt.port);
  EXPECT_EQ(left.mac, punt.mac);
  EXPECT_EQ(0x88B5, punt.ether_type);
  EXPECT_EQ(node.now_ns(), punt.at_ns);
  const Bytes header = Header{.version_kind = 0x13, .hop_limit = 0}.bytes();
  EXPECT_TRUE(std::equal(header.begin(), header.end(), punt.header.begin()));
  ASSERT_EQ(200u, punt.length);
  EXPECT_EQ(pattern(200), Bytes(punt.payload.begin(), punt.payload.begin() + 200));
}

/// Handshake messages of `count` senders, no two of which are the same, or all `from` one.
class Flood : public Control {
 protected:
  static constexpr uint8_t kInitiation = 1, kResponse = 2, kCookie = 3;

  static Bytes message(uint8_t type, bool mac2 = false) {
    Bytes bytes(type == kInitiation ? 168 : type == kResponse ? 124 : 68);
    bytes[0] = type;
    if (mac2) bytes.back() = 1;
    return bytes;
  }
  Bytes frame(const Bytes& message, const MacAddress& from) {
    Bytes bytes = left.ethernet_towards_node() + Header{.version_kind = 0x13, .hop_limit = 0}.bytes() + message;
    std::copy(from.begin(), from.end(), bytes.begin() + 6);
    return bytes;
  }
  MacAddress stranger() {
    ++strangers;
    return {2, 0, 0, 1, static_cast<uint8_t>(strangers >> 8), static_cast<uint8_t>(strangers)};
  }
  int punted(const std::vector<Bytes>& frames, unsigned port = 0) {
    node.exchange(port, frames);
    node.punts();
    return static_cast<int>(node.change().punted);
  }
  /// Spends the port's ration for a sort of message, each from another sender; how many that took.
  int spend(const Bytes& message, unsigned port = 0) {
    std::vector<Bytes> frames(60);
    for (Bytes& each : frames) each = frame(message, stranger());
    return punted(frames, port);
  }
  void call(const MacAddress& address, const Bytes& message) {
    ControlPacket packet{.kind = SlotKind::handshake,
                         .length = static_cast<uint16_t>(message.size()),
                         .port = PortIndex{0},
                         .mac = address,
                         .ether_type = 0x88B5};
    std::copy(message.begin(), message.end(), packet.payload.begin());
    node.inject(packet);
    node.exchange(0, {});
    node.change();
  }

  unsigned strangers = 0;
};

TEST_F(Flood, OneSenderHasARationOfItsOwn) {
  EXPECT_EQ(20, punted(std::vector(60, frame(message(kInitiation), left.mac))));
  node.pass(100'000'000);
  EXPECT_EQ(2, punted(std::vector(60, frame(message(kInitiation), left.mac)))) << "20 a second";
  EXPECT_EQ(1, punted({frame(message(kInitiation), right.mac)})) << "and leaves the port's to others";
  node.pass(3'600'000'000'000);
  EXPECT_EQ(20, punted(std::vector(60, frame(message(kInitiation), left.mac)))) << "never more than the burst";
}

TEST_F(Flood, SendersThatDoNotExistShareTheRationOfTheirPort) {
  EXPECT_EQ(50, spend(message(kInitiation)));
  EXPECT_EQ(0, spend(message(kInitiation)));
  EXPECT_EQ(0, spend(pattern(100))) << "what is no handshake message is no better";
  node.pass(20'000'000);
  EXPECT_EQ(10, spend(message(kInitiation))) << "500 a second";
  EXPECT_EQ(50, spend(message(kInitiation), 1)) << "another port";
  EXPECT_EQ(Change{}.punt_metered, node.change().punt_metered);
}

TEST_F(Flood, FirstInitiationsTakeNothingFromWhatCarriesAProof) {
  spend(message(kInitiation));
  EXPECT_EQ(1, punted({frame(message(kInitiation, true), left.mac)}));
  EXPECT_EQ(1, punted({frame(message(kResponse), left.mac)}));
  EXPECT_EQ(1, punted({frame(message(kCookie), left.mac)}));
  EXPECT_EQ(47, spend(message(kInitiation, true))) << "one ration for the three";
  EXPECT_EQ(0, spend(message(kResponse)));
}

TEST_F(Flood, WhoWasCalledHasARationThatNobodyElseReaches) {
  call(right.mac, message(kResponse));
  call({0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, message(kInitiation));
  call(left.mac, message(kInitiation));
  spend(message(kInitiation));
  spend(message(kInitiation, true));
  EXPECT_EQ(0, punted({frame(message(kInitiation), right.mac)})) << "answered, not called";
  EXPECT_EQ(0, punted({frame(message(kInitiation), {0xff, 0xff, 0xff, 0xff, 0xff, 0xff})}));
  EXPECT_EQ(20, punted(std::vector(60, frame(message(kInitiation), left.mac))));
  EXPECT_EQ(0, punted({frame(message(kInitiation, true), left.mac)})) << "of whatever sort";
  node.pass(119'000'000'000);
  spend(message(kInitiation));
  EXPECT_EQ(1, punted({frame(message(kInitiation), left.mac)}));
  node.pass(1'000'000'000);
  spend(message(kInitiation));
  EXPECT_EQ(0, punted({frame(message(kInitiation), left.mac)})) << "two minutes later a stranger";
}

TEST_F(Control, PuntsWhatIsBetweenTheTwoEndsOfALink) {
  for (const uint8_t type : {kHandshakeType, kSignal, kDeadRoutes}) {
    const Bytes payload = pattern(1400, type);
    send(left, packet(type, 0, payload));
    EXPECT_EQ((Change{.received = 1, .punted = 1}), node.change());
    const auto punts = node.punts();
    ASSERT_EQ(1u, punts.size());
    EXPECT_EQ(SlotKind::link_packet, punts[0].kind);
    EXPECT_EQ(type, punts[0].type);
    EXPECT_EQ(LinkIndex{left.link}, punts[0].link);
    EXPECT_EQ(kControlRoute, punts[0].route);
    EXPECT_EQ(payload, Bytes(punts[0].payload.begin(), punts[0].payload.begin() + punts[0].length));
  }
}

TEST_F(Control, PuntsSessionRenewalsAndAskedPongs) {
  Bytes asked;
  put(asked, 12345, 8);
  put(asked, uint64_t{1} << 63 | 77, 8);
  for (const auto& [type, payload] : {std::pair{3u, pattern(150)}, std::pair{5u, asked}}) {
    send(left, packet(type, kRoute, payload));
    EXPECT_EQ((Change{.received = 1, .punted = 1}), node.change());
    const auto punts = node.punts();
    ASSERT_EQ(1u, punts.size());
    EXPECT_EQ(SlotKind::route_packet, punts[0].kind);
    EXPECT_EQ(type, punts[0].type);
    EXPECT_EQ(RouteId{kRoute}, punts[0].route);
    EXPECT_EQ(payload, Bytes(punts[0].payload.begin(), punts[0].payload.begin() + punts[0].length));
  }
}

TEST_F(Control, AControlPlaneThatDoesNotKeepUp) {
  for (int burst = 0; burst < 5; ++burst) {
    std::vector<Bytes> frames;
    for (int i = 0; i < 60; ++i) frames.push_back(left.seal(packet(kSignal, 0, pattern(10))));
    node.exchange(0, frames);
  }
  EXPECT_EQ((Change{.received = 300, .punted = 256, .punt_metered = 44}), node.change()) << "one link's ration";
  send(right, packet(kSignal, 0, pattern(10)));
  EXPECT_EQ((Change{.received = 1, .punt_full = 1}), node.change()) << "another's, and no room";
  EXPECT_EQ(256u, node.punts().size());
  send(right, packet(kSignal, 0, pattern(10)));
  EXPECT_EQ((Change{.received = 1, .punted = 1}), node.change());
  node.pass(1'000'000'000 / 5'000);
  send(left, packet(kSignal, 0, pattern(10)));
  EXPECT_EQ((Change{.received = 1, .punted = 1}), node.change());
}

TEST_F(Control, WithoutAControlPlaneOnlyDeadRoutesGoUp) {
  node.channel().takes_punts = false;
  send(left, packet(kSignal, 0, pattern(10)));
  node.exchange(0, {handshake()});
  EXPECT_EQ((Change{.received = 2, .punt_full = 2}), node.change());
  send(left, packet(kDeadRoutes, 0, pattern(8)));
  EXPECT_EQ((Change{.received = 1, .punted = 1}), node.change());
}

class Jumbo : public Crossroads {
 protected:
  Jumbo() : Crossroads({.mtu = 9000}) {}
};

TEST_F(Jumbo, WhatNoSlotHoldsIsDropped) {
  LinkMessage wide = link_put(left, 0);
  wide.mtu = 9000;
  node.install({message(wide)});
  send(left, packet(kSignal, 0, pattern(1984)));
  EXPECT_EQ((Change{.received = 1, .punted = 1}), node.change());
  send(left, packet(kSignal, 0, pattern(1985)));
  EXPECT_EQ((Change{.received = 1, .bad_size = 1}), node.change());
}

// --- down

TEST_F(Control, SendsHandshakesAsTheyAre) {
  ControlPacket packet{
      .kind = SlotKind::handshake, .length = 200, .port = PortIndex{1}, .mac = right.mac, .ether_type = 0x88B5};
  const Bytes header = Header{.version_kind = 0x13, .hop_limit = 0}.bytes();
  std::copy(header.begin(), header.end(), packet.header.begin());
  const Bytes message_bytes = pattern(200);
  std::copy(message_bytes.begin(), message_bytes.end(), packet.payload.begin());
  node.inject(packet);
  EXPECT_EQ(std::vector<Bytes>{right.ethernet_from_node() + header + message_bytes}, node.exchange(0, {}));
  EXPECT_EQ((Change{.injected_control = 1, .transmitted = 1}), node.change());

  packet.length = 3;  // Ethernet's least: zeros behind
  node.inject(packet);
  Bytes shortest = right.ethernet_from_node() + header + pattern(3);
  shortest.resize(60);
  EXPECT_EQ(std::vector<Bytes>{shortest}, node.exchange(0, {}));
}

TEST_F(Control, SealsPacketsForALink) {
  for (const size_t size : {size_t{0}, size_t{1}, size_t{7}, size_t{8}, size_t{1400}, size_t{1461}}) {
    ControlPacket down{.kind = SlotKind::link_packet,
                       .type = kSignal,
                       .length = static_cast<uint16_t>(size),
                       .link = LinkIndex{right.link}};
    const Bytes payload = pattern(size);
    std::copy(payload.begin(), payload.end(), down.payload.begin());
    node.inject(down);
    const auto frame = only(node.exchange(0, {}), right);
    EXPECT_EQ(kSignal, frame.type());
    EXPECT_EQ(0u, frame.route());
    EXPECT_EQ(payload, frame.payload());
    EXPECT_EQ((Change{.injected_control = 1, .transmitted = 1}), node.change());
  }
}

TEST_F(Control, SealsPacketsForACircuit) {
  ControlPacket down{.kind = SlotKind::route_packet,
                     .type = kHandshakeType,
                     .length = 100,
                     .link = LinkIndex{right.link},
                     .route = RouteId{kNext},
                     .hop_limit = 47,
                     .treatment = 0xa1};
  node.inject(down);
  const auto frame = only(node.exchange(0, {}), right);
  EXPECT_EQ(kHandshakeType, frame.type());
  EXPECT_EQ(kNext, frame.route());
  EXPECT_EQ(47, frame.header.hop_limit);
  EXPECT_EQ(0xa0, frame.header.class_ecn);
}

TEST_F(Control, ManyAtOnceAllGoOut) {
  for (int i = 0; i < 200; ++i)
    node.inject({.kind = SlotKind::link_packet, .type = kSignal, .length = 10, .link = LinkIndex{right.link}});
  size_t sent = 0;
  for (int turns = 0; turns < 4; ++turns) sent += node.exchange(0, {}).size();
  EXPECT_EQ(200u, sent);
  EXPECT_EQ((Change{.injected_control = 200, .transmitted = 200}), node.change());
}

TEST_F(Control, RefusesWhatCannotBeSent) {
  const ControlPacket link_packet{.kind = SlotKind::link_packet, .type = kSignal, .link = LinkIndex{right.link}};
  const ControlPacket route_packet{.kind = SlotKind::route_packet, .type = 3, .link = LinkIndex{right.link}};
  const ControlPacket handshake_packet{.kind = SlotKind::handshake, .port = PortIndex{1}};
  const auto with = [](ControlPacket packet, auto change) {
    change(packet);
    return packet;
  };
  const struct {
    ControlPacket packet;
    Change change;
    const char* what;
  } rows[] = {
      {with(link_packet, [](auto& p) { p.link = LinkIndex{9}; }), {.unknown_link = 1}, "no such link"},
      {with(link_packet, [](auto& p) { p.link = kNoLink; }), {.unknown_link = 1}, "no link at all"},
      {with(link_packet, [](auto& p) { p.length = 1462; }), {.too_big = 1}, "a byte over the link's MTU"},
      {with(link_packet, [](auto& p) { p.length = 1984; }), {.too_big = 1}, "larger than a buffer"},
      {with(link_packet, [](auto& p) { p.length = 1985; }), {.bad_control = 1}, "longer than its slot"},
      {with(route_packet, [](auto& p) { p.treatment = 3; }), {.bad_control = 1}, "a queue that there is not"},
      {with(route_packet, [](auto& p) { p.treatment = 0x10; }), {.bad_control = 1}, "a bit without a meaning"},
      {with(handshake_packet, [](auto& p) { p.port = PortIndex{3}; }), {.bad_control = 1}, "no such port"},
      {with(handshake_packet, [](auto& p) { p.length = 1485; }), {.bad_control = 1}, "over the port's MTU"},
      {with(handshake_packet, [](auto& p) { p.length = 65535; }), {.bad_control = 1}, "longer than its slot"},
  };
  for (const auto& row : rows) {
    node.inject(row.packet);
    EXPECT_TRUE(node.exchange(0, {}).empty()) << row.what;
    Change wanted = row.change;
    wanted.injected_control = 1;
    EXPECT_EQ(wanted, node.change()) << row.what;
  }
}

TEST_F(Control, WithoutBuffersNothingStarts) {
  std::vector<rte_mbuf*> all;
  while (rte_mbuf* mbuf = rte_pktmbuf_alloc(node.port(1).pool())) all.push_back(mbuf);
  node.inject({.kind = SlotKind::link_packet, .type = kSignal, .length = 10, .link = LinkIndex{right.link}});
  node.inject({.kind = SlotKind::handshake, .length = 10, .port = PortIndex{1}});
  EXPECT_TRUE(node.exchange(0, {}).empty());
  EXPECT_EQ((Change{.injected_control = 2, .no_buffer = 2}), node.change());
  rte_pktmbuf_free_bulk(all.data(), static_cast<unsigned>(all.size()));
}

}  // namespace
}  // namespace sky::test
