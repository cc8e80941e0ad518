// Frames of kind `header` and `clear`, and links and sessions of either suite.
#include "tests/packet/crossroads.h"

namespace sky::test {
namespace {

constexpr Change kForwarded{.received = 1, .transmitted = 1};
constexpr uint8_t kHeaderEnough = make_treatment(2, FrameKind::header);
constexpr uint8_t kClearEnough = make_treatment(2, FrameKind::clear);

/// A link in from the left and one out to the right, each of its own kind.
class Kinds : public Crossroads {
 protected:
  void set(FrameKind in, FrameKind out, uint8_t treatment) {
    left.kind = in;
    right.kind = out;
    node.install({message(link_put(left, 0)), message(link_put(right, 1)),
                  message(forward_put(kRoute, left.link, right.link, kNext, treatment))});
    node.port(0).poison = true;
  }
  std::vector<Bytes> pass(const Bytes& frame) { return node.exchange(0, {frame}); }
  void expect_dropped(const Bytes& frame, Change change, const char* what) {
    change.received = 1;
    EXPECT_TRUE(pass(frame).empty()) << what;
    EXPECT_EQ(change, node.change()) << what;
  }
  Header header_of(LinkPeer& peer, FrameKind kind) { return peer.next_header(kind); }
};

TEST_F(Kinds, AHeaderFramePassesAtEveryLength) {
  set(FrameKind::header, FrameKind::header, kHeaderEnough);
  for (size_t size = 25; size <= 1461; ++size) {
    const auto frames = pass(left.seal(packet(17, kRoute, pattern(size))));
    const OpenedFrame out = only(frames, right);
    ASSERT_EQ(FrameKind::header, out.header.kind()) << size;
    ASSERT_EQ(packet(17, kNext, pattern(size)), out.inside) << size;
    ASSERT_EQ(14 + 32 + 7 + size, frames[0].size());
    ASSERT_EQ(kForwarded, node.change()) << size;
  }
}

TEST_F(Kinds, AClearFramePassesAtEveryLengthPaddedToTheCarriersLeast) {
  set(FrameKind::clear, FrameKind::clear, kClearEnough);
  for (size_t size = 0; size <= 1461; ++size) {
    const auto frames = pass(left.seal(packet(17, kRoute, pattern(size))));
    Bytes inside = packet(17, kNext, pattern(size));
    inside.resize(std::max<size_t>(inside.size(), 30));
    const OpenedFrame out = only(frames, right);
    ASSERT_EQ(FrameKind::clear, out.header.kind()) << size;
    ASSERT_EQ(inside, out.inside) << size;
    ASSERT_EQ(14 + 16 + inside.size(), frames[0].size());
    ASSERT_EQ(kForwarded, node.change()) << size;
  }
}

TEST_F(Kinds, WhatFollowsAClearPacketIsCutOff) {
  set(FrameKind::clear, FrameKind::clear, kClearEnough);
  const Bytes tail = left.seal(packet(17, kRoute, pattern(100))) + pattern(40);
  EXPECT_EQ(packet(17, kNext, pattern(100)), only(pass(tail), right).inside);
  EXPECT_EQ(kForwarded, node.change());
  Bytes cut = left.seal(packet(17, kRoute, pattern(100)));
  cut.pop_back();
  expect_dropped(cut, {.bad_size = 1}, "a byte less than its size says");
}

TEST_F(Kinds, LinksOfAllKindsMeet) {
  const FrameKind kinds[] = {FrameKind::frame, FrameKind::header, FrameKind::clear};
  for (const FrameKind in : kinds) {
    for (const FrameKind out : kinds) {
      set(in, out, kClearEnough);
      const OpenedFrame frame = only(pass(left.seal(packet(17, kRoute, pattern(200)))), right);
      EXPECT_EQ(out, frame.header.kind());
      EXPECT_EQ(packet(17, kNext, pattern(200)), frame.inside);
      EXPECT_EQ(kForwarded, node.change());
    }
  }
}

TEST_F(Kinds, ACircuitsLeastKindHoldsOnALinkThatAsksForLess) {
  set(FrameKind::clear, FrameKind::clear, kHeaderEnough);
  const Bytes datagram = packet(17, kRoute, pattern(200));
  EXPECT_EQ(FrameKind::header,
            only(pass(left.seal(left.next_header(FrameKind::header), datagram)), right).header.kind());
  EXPECT_EQ(kForwarded, node.change());
  expect_dropped(left.seal(left.next_header(FrameKind::clear), datagram), {.weak_kind = 1}, "clear");
  set(FrameKind::clear, FrameKind::clear, 2);
  EXPECT_EQ(FrameKind::frame, only(pass(left.seal(left.next_header(), datagram)), right).header.kind());
  EXPECT_EQ(kForwarded, node.change());
  expect_dropped(left.seal(left.next_header(FrameKind::header), datagram), {.weak_kind = 1}, "header");
}

TEST_F(Kinds, ALinkTakesNothingBelowItsLeast) {
  set(FrameKind::frame, FrameKind::frame, kClearEnough);
  const Bytes datagram = packet(17, kRoute, pattern(200));
  expect_dropped(left.seal(left.next_header(FrameKind::header), datagram), {.weak_kind = 1}, "header");
  expect_dropped(left.seal(left.next_header(FrameKind::clear), datagram), {.weak_kind = 1}, "clear");
}

TEST_F(Kinds, OnlyDatagramsTravelWithASealedHeader) {
  set(FrameKind::header, FrameKind::header, kHeaderEnough);
  for (const unsigned type : {0u, 3u, 4u, 18u, 255u}) {
    const Bytes other = packet(type, kRoute, pattern(100));
    const OpenedFrame out = only(pass(left.seal(other)), right);
    EXPECT_EQ(FrameKind::frame, out.header.kind()) << type;
    EXPECT_EQ(kForwarded, node.change());
    expect_dropped(left.seal(left.next_header(FrameKind::header), other), {.wrong_kind = 1}, "no Datagram");
  }
  const Bytes brief = packet(17, kRoute, pattern(24));
  EXPECT_EQ(FrameKind::frame, only(pass(left.seal(brief)), right).header.kind()) << "31 bytes";
  EXPECT_EQ(kForwarded, node.change());
  expect_dropped(left.seal(left.next_header(FrameKind::header), brief), {.frame_short = 1}, "31 bytes");
  expect_dropped(left.seal(left.next_header(FrameKind::header), packet(17, 0, pattern(100))), {.wrong_kind = 1},
                 "route ID 0");
}

TEST_F(Kinds, WhatTwoNodesSayToEachOtherIsAlwaysSealed) {
  set(FrameKind::clear, FrameKind::clear, kClearEnough);
  for (const unsigned type : {2u, 3u, 8u, 17u, 64u, 65u})
    expect_dropped(left.seal(left.next_header(FrameKind::clear), packet(type, 0, pattern(24))), {.wrong_kind = 1},
                   "route ID 0");
  const uint64_t heard = node.tables->stats.link(LinkIndex{left.link}).heard_ns.get();
  node.pass(1'000'000);
  pass(left.seal(packet(17, kRoute, pattern(100))));
  node.run(200'000'000, 100'000'000);
  EXPECT_EQ(heard, node.tables->stats.link(LinkIndex{left.link}).heard_ns.get()) << "a clear frame proves nothing";
  node.change();
  node.port(0).pop_all();
  node.port(1).pop_all();
  node.port(2).pop_all();
}

TEST_F(Kinds, AFlippedBitInTheSealedPartIsABadTag) {
  set(FrameKind::header, FrameKind::header, kHeaderEnough);
  Bytes good = left.seal(packet(17, kRoute, pattern(100)));
  for (size_t at = 14; at < 14 + 32 + 32; at += 3) {
    if (at < 14 + 16 && at != 15) continue;  // of the header, what no earlier check looks at
    Bytes bad = good;
    bad[at] ^= 4;
    expect_dropped(bad, {.bad_tag = 1}, "flipped");
  }
  EXPECT_EQ(1u, pass(good).size());
  EXPECT_EQ(kForwarded, node.change());
}

/// The same circuit's end: what happened to the open tail is found by the session's tag.
class FarEnd : public Crossroads {
 protected:
  void SetUp() override {
    Crossroads::SetUp();
    left.kind = FrameKind::header;
    node.install({message(link_put(left, 0)),
                  message(consume_put(kRoute, left.link, far.session, 0, 1, 0x77, kHeaderEnough)),
                  message(group_put(7, kDomain)), message(destination_put("fd00:f::", 32, GroupIndex{7})),
                  message(destination_put("fd00:1::", 32, kLocalGroup))});
  }
  Bytes inner(size_t payload) { return ipv6({.source = "fd00:f::1", .destination = "fd00:1::1", .payload = payload}); }
};

TEST_F(FarEnd, OpensWhatPassed) {
  node.exchange(0, {left.seal(packet(17, kRoute, far.seal(0, inner(500))))});
  EXPECT_EQ(std::vector<Bytes>{inner(500)}, node.tun_read());
  EXPECT_EQ((Change{.received = 1, .delivered_tun = 1}), node.change());
}

TEST_F(FarEnd, FindsEveryFlippedByteOfTheTail) {
  const Bytes good = left.seal(packet(17, kRoute, far.seal(0, inner(60))));
  const uint64_t bad_tags = node.tables->stats.link(LinkIndex{left.link}).bad_tags.get();
  for (size_t at = 14 + 32 + 32; at < good.size(); ++at) {
    Bytes bad = left.seal(packet(17, kRoute, far.seal(0, inner(60))));
    bad[at] ^= 0x20;
    node.exchange(0, {bad});
    ASSERT_EQ((Change{.received = 1, .session_bad_tag = 1}), node.change()) << at;
  }
  EXPECT_EQ(bad_tags, node.tables->stats.link(LinkIndex{left.link}).bad_tags.get()) << "no fault of the link's key";
}

TEST_F(FarEnd, TellsOfACircuitThatBringsTooMuchDamage) {
  node.install({message(member_put(7, 3, left.link, kNext, kRoute, far.session, 64))});
  node.turn();
  node.port(0).pop_all();
  node.events();
  node.change();
  const auto damage = [&](unsigned frames) {
    for (unsigned i = 0; i < frames; ++i) {
      Bytes bad = left.seal(packet(17, kRoute, far.seal(0, inner(60))));
      bad.back() ^= 1;
      node.exchange(0, {bad});
    }
    return node.events();
  };
  EXPECT_TRUE(damage(16).empty());
  const auto events = damage(20);
  ASSERT_EQ(1u, events.size()) << "once a second";
  EXPECT_EQ(Verb::circuit_damaged, events[0].verb);
  EXPECT_EQ(RouteId{kRoute}, events[0].as<CircuitDamagedEvent>().route);
  node.pass(1'000'000'000);
  EXPECT_EQ(1u, damage(17).size());
  EXPECT_EQ(53u, node.tables->stats.member(GroupIndex{7}, 3).damaged.get());
  for (unsigned port = 0; port < 3; ++port) node.port(port).pop_all();
}

TEST_F(FarEnd, FindsASplicedTail) {
  Bytes one = left.seal(packet(17, kRoute, far.seal(0, inner(60))));
  Bytes other = left.seal(packet(17, kRoute, far.seal(0, inner(60))));
  std::swap_ranges(one.begin() + 78, one.end(), other.begin() + 78);
  node.exchange(0, {one, other});
  EXPECT_EQ((Change{.received = 2, .session_bad_tag = 2}), node.change());
  EXPECT_TRUE(node.tun_read().empty());
}

class OtherSuite : public Crossroads {
 protected:
  OtherSuite() {
    left = LinkPeer(1, 101, 11, Suite::chacha20_poly1305);
    far = SessionPeer(5, 55, Suite::chacha20_poly1305);
  }
};

TEST_F(OtherSuite, ForwardsFromOneSuiteToTheOther) {
  for (const FrameKind kind : {FrameKind::frame, FrameKind::header}) {
    left.kind = right.kind = kind;
    node.install({message(link_put(left, 0)), message(link_put(right, 1)),
                  message(forward_put(kRoute, left.link, right.link, kNext, kHeaderEnough)),
                  message(forward_put(kRoute + 1, right.link, left.link, kNext, kHeaderEnough))});
    for (size_t size = 0; size <= 1461; size += 61) {
      EXPECT_EQ(pattern(size), only(node.exchange(0, {left.seal(packet(17, kRoute, pattern(size)))}), right).payload());
      EXPECT_EQ(pattern(size),
                only(node.exchange(1, {right.seal(packet(17, kRoute + 1, pattern(size)))}), left).payload());
      EXPECT_EQ((Change{.received = 2, .transmitted = 2}), node.change());
    }
  }
}

TEST_F(OtherSuite, OpensEndToEnd) {
  node.install({message(consume_put(kRoute, left.link, far.session, 0)), message(group_put(7, kDomain)),
                message(destination_put("fd00:f::", 32, GroupIndex{7})),
                message(destination_put("fd00:1::", 32, kLocalGroup))});
  const Bytes inner = ipv6({.source = "fd00:f::1", .destination = "fd00:1::1", .payload = 64});
  node.exchange(0, {left.seal(packet(17, kRoute, far.seal(0, inner)))});
  EXPECT_EQ(std::vector<Bytes>{inner}, node.tun_read());
  EXPECT_EQ((Change{.received = 1, .delivered_tun = 1}), node.change());
  Bytes forged = left.seal(packet(17, kRoute, far.seal(0, inner)));
  forged.back() ^= 1;
  node.exchange(0, {forged});
  EXPECT_EQ((Change{.received = 1, .bad_tag = 1}), node.change());
}

}  // namespace
}  // namespace sky::test
