// What a frame can be refused for on its arrival: each reason by name, nothing leaves, and the link goes on working.
#include <functional>

#include "tests/packet/crossroads.h"

namespace sky::test {
namespace {

constexpr uint16_t kFirstOfMany = 1'000, kMany = 300;

NodeConfig config_of(bool many_links) {
  NodeConfig config;
  if (many_links) config.capacities.links = kFirstOfMany + kMany;
  return config;
}

/// Alone, and among so many links that what a burst reads of its own is brought into the cache before it is looked at.
class Arrival : public Crossroads, public testing::WithParamInterface<bool> {
 protected:
  Arrival() : Crossroads(config_of(GetParam())) {}
  void SetUp() override {
    Crossroads::SetUp();
    std::vector<InstallMessage> others;
    for (uint16_t i = 0; GetParam() && i < kMany; ++i) {
      const uint16_t link = kFirstOfMany + i;
      others.push_back(message(link_put(LinkPeer{link, link, link}, 2)));
    }
    node.install(others);
    node.worker_turn();
    EXPECT_EQ(GetParam(), node.worker().context().many_links);
    node.install({message(forward_put(kRoute, left.link, right.link, kNext, 0x62))});
    node.port(0).poison = true;
  }
  Header good() {
    Header header = left.next_header();
    header.class_ecn = 0x60;
    return header;
  }
  /// A frame whose header was changed by `change` before it was sealed.
  Bytes sealed(const std::function<void(Header&)>& change, const Bytes& inside = packet(17, kRoute, pattern(50))) {
    Header header = good();
    change(header);
    return left.seal(header, inside);
  }
  Bytes sealed(const Bytes& inside) {
    return sealed([](Header&) {}, inside);
  }
  /// A good frame with one byte of it changed on its way; offsets count from the Ethernet header.
  Bytes flipped(size_t at, uint8_t bits) {
    Bytes frame = sealed(packet(17, kRoute, pattern(50)));
    frame.at(at) ^= bits;
    return frame;
  }
  void expect(const Bytes& frame, Change change, const char* what) {
    EXPECT_TRUE(node.exchange(0, {frame}).empty()) << what;
    change.received = 1;
    EXPECT_EQ(change, node.change()) << what;
    // The link is none the worse for it.
    EXPECT_EQ(1u, node.exchange(0, {sealed(packet(17, kRoute, pattern(50)))}).size()) << what;
    EXPECT_EQ((Change{.received = 1, .transmitted = 1}), node.change()) << what;
  }
};

constexpr size_t kEthernet = 14;

TEST_P(Arrival, ChecksOfTheEthernetFrame) {
  expect(Bytes{}, {.frame_short = 1}, "nothing at all");
  expect(Bytes(59), {.frame_short = 1}, "a byte too short");
  Bytes longest = sealed(packet(17, kRoute, pattern(1461)));
  ASSERT_EQ(1514u, longest.size());
  longest.push_back(0);
  expect(longest, {.frame_long = 1}, "a byte too long");
  expect(Bytes(60), {.not_skywire = 1}, "no EtherType");
  expect(flipped(12, 1), {.not_skywire = 1}, "another EtherType");
  expect(flipped(13, 0x80), {.not_skywire = 1}, "another EtherType");

  node.port(0).push(sealed(packet(17, kRoute, pattern(50))), 70);
  node.worker_turn();
  EXPECT_EQ((Change{.received = 1, .frame_chained = 1}), node.change()) << "in two buffers";
}

TEST_P(Arrival, ChecksOfTheLinkHeader) {
  for (unsigned version = 0; version < 16; ++version) {
    if (version == 1) continue;
    expect(sealed([&](Header& h) { h.version_kind = static_cast<uint8_t>(version << 4); }), {.bad_version = 1},
           "version");
  }
  expect(sealed([](Header& h) { h.version_kind = 0x11; }), {.weak_kind = 1}, "sealed header alone");
  expect(sealed([](Header& h) { h.version_kind = 0x12; }), {.weak_kind = 1}, "clear");
  for (unsigned kind = 4; kind < 16; ++kind) {
    expect(sealed([&](Header& h) { h.version_kind = static_cast<uint8_t>(0x10 | kind); }), {.bad_kind = 1}, "kind");
  }
  for (const uint8_t bit : {1, 2, 4})
    expect(sealed([&](Header& h) { h.class_ecn |= bit; }), {.bad_reserved = 1}, "reserved bit");
  for (const uint32_t link : {0u, 4u, 63u, 64u, 0x10001u, 0xffffffffu})
    expect(sealed([&](Header& h) { h.link_index = link; }), {.unknown_link = 1}, "no such link");
  expect(sealed([](Header& h) { h.link_index = 2; }), {.wrong_port = 1}, "a link of another port");
}

TEST_P(Arrival, ChecksBeforeAndAfterTheTag) {
  for (const uint8_t epoch : {2, 3, 127, 0x80, 0x81})
    expect(sealed([&](Header& h) { h.epoch = epoch; }), {.no_key = 1}, "an epoch without key");
  expect(sealed([](Header& h) { h.lane_counter |= uint64_t{1} << 56; }), {.bad_lane = 1}, "lane 1 of one");
  expect(sealed([](Header& h) { h.lane_counter |= uint64_t{255} << 56; }), {.bad_lane = 1}, "lane 255");
  expect(flipped(kEthernet + 1, 0x01), {.bad_tag = 1}, "hop limit");
  expect(flipped(kEthernet + 2, 0x01), {.bad_tag = 1}, "the other epoch's key");
  expect(flipped(kEthernet + 3, 0x20), {.bad_tag = 1}, "class");
  expect(flipped(kEthernet + 3, 0x08), {.bad_tag = 1}, "ECN");
  expect(flipped(kEthernet + 10, 0x01), {.bad_tag = 1}, "counter");
  expect(flipped(kEthernet + 16, 0x80), {.bad_tag = 1}, "first byte of the tag");
  expect(flipped(kEthernet + 31, 0x01), {.bad_tag = 1}, "last byte of the tag");
  expect(flipped(kEthernet + 32, 0x01), {.bad_tag = 1}, "first byte of the packet");
  expect(flipped(kEthernet + 32 + 7 + 49, 0x01), {.bad_tag = 1}, "last byte of the packet");
  Bytes longer = sealed(packet(17, kRoute, pattern(50)));
  longer.push_back(0);
  expect(longer, {.bad_tag = 1}, "a byte was put behind");
  Bytes cut = sealed(packet(17, kRoute, pattern(50)));
  cut.pop_back();
  expect(cut, {.bad_tag = 1}, "the last byte is missing");
  EXPECT_EQ(11u, node.tables->stats.link(LinkIndex{1}).bad_tags.get());
}

TEST_P(Arrival, SizeMustBeTheDeliveredLength) {
  const auto sized = [&](size_t bytes, uint16_t size) {
    Bytes inside = packet(17, kRoute, pattern(bytes));
    inside[5] = static_cast<uint8_t>(size >> 8);
    inside[6] = static_cast<uint8_t>(size);
    return sealed(inside);
  };
  expect(sized(50, 49), {.bad_size = 1}, "a byte more than the size says");
  expect(sized(50, 51), {.bad_size = 1}, "a byte less");
  expect(sized(50, 65535), {.bad_size = 1}, "the largest size");
  expect(sized(50, 0), {.bad_size = 1}, "size 0");
  expect(sized(7, 8), {.bad_size = 1}, "one over the padding");
  expect(sized(8, 7), {.bad_size = 1}, "no padding, and a byte more");
  Bytes padded = packet(17, kRoute, pattern(6));
  padded.resize(15);
  expect(sealed(padded), {.bad_size = 1}, "a byte more of padding");
}

TEST_P(Arrival, RouteIdsAndTheirRules) {
  node.install({message(forward_put(kRoute + 1, spare.link, right.link, kNext)),
                message(forward_put(kRoute + 2, left.link, right.link, kNext, 2))});
  expect(sealed(packet(17, kRoute ^ 0x80000000)), {.unknown_route = 1}, "same index, other high bits");
  expect(sealed(packet(17, kRoute + 16)), {.unknown_route = 1}, "an empty index");
  expect(sealed(packet(17, 0xffffffff)), {.unknown_route = 1}, "the last ID");
  expect(sealed(packet(17, kRoute + 1)), {.wrong_link = 1}, "a neighbour's route");
  expect(sealed([](Header& h) { h.class_ecn = 0x80; }), {.wrong_class = 1}, "class 4 on a circuit of class 3");
  expect(sealed(packet(17, kRoute + 2)), {.wrong_class = 1}, "class 3 on a circuit of class 0");
  expect(sealed([](Header& h) { h.hop_limit = 1; }), {.hop_limit = 1}, "would leave with 0");
  expect(sealed([](Header& h) { h.hop_limit = 0; }), {.hop_limit = 1}, "came with 0");
  node.install({message(delete_of(Verb::delete_rule, kRoute + 1))});
  expect(sealed(packet(17, kRoute + 1)), {.unknown_route = 1}, "a rule that was deleted");
}

TEST_P(Arrival, ARuleMayComeToDoSomethingElse) {
  for (int round = 0; round < 2; ++round) {
    node.install({message(forward_put(kRoute + 3, left.link, right.link, kNext, 0x62))});
    EXPECT_EQ(kNext, only(node.exchange(0, {sealed(packet(17, kRoute + 3))}), right).route());
    EXPECT_EQ((Change{.received = 1, .transmitted = 1}), node.change());
    node.install({message(consume_put(kRoute + 3, left.link, far.session, 0))});
    EXPECT_TRUE(node.exchange(0, {sealed(packet(2, kRoute + 3))}).empty());
    EXPECT_EQ((Change{.received = 1, .delivered_local = 1}), node.change());
  }
}

TEST_P(Arrival, EcnIsNoClass) {
  // ECN bits are the two below the class; they do not decide about the rule.
  const auto out = only(node.exchange(0, {sealed([](Header& h) { h.class_ecn |= 0x18; })}), right);
  EXPECT_EQ(0x60, out.header.class_ecn & 0xe0);
}

TEST_P(Arrival, PacketsThatMayNotEndHere) {
  node.install({message(consume_put(kRoute + 1, left.link, far.session, 0))});
  for (const unsigned type : {0, 1, 6, 7, 8, 9, 10, 16, 18, 23, 64, 65, 100, 255})
    expect(sealed(packet(type, kRoute + 1)), {.bad_type = 1}, "ends on a circuit");
  for (const unsigned type : {0, 1, 4, 5, 6, 7, 9, 10, 17, 23, 66, 255})
    expect(sealed(packet(type, 0)), {.bad_type = 1}, "on route ID 0");
  for (const size_t size : {0, 23, 25}) expect(sealed(packet(8, 0, Bytes(size))), {.bad_control = 1}, "liveness");
  for (const size_t size : {0, 15, 17}) {
    expect(sealed(packet(4, kRoute + 1, Bytes(size))), {.bad_control = 1}, "ping");
    expect(sealed(packet(5, kRoute + 1, Bytes(size))), {.bad_control = 1}, "pong");
  }
}

TEST_P(Arrival, KeepAlivesEndHere) {
  node.install({message(consume_put(kRoute + 1, left.link, far.session, 0))});
  for (const uint32_t route : {0u, kRoute + 1}) {
    EXPECT_TRUE(node.exchange(0, {sealed(packet(2, route))}).empty());
    EXPECT_EQ((Change{.received = 1, .delivered_local = 1}), node.change());
  }
}

TEST_P(Arrival, ReplaysWithinABurstAndLater) {
  std::vector<Bytes> burst;
  for (int i = 0; i < 20; ++i) burst.push_back(sealed(packet(17, kRoute, pattern(50))));
  std::vector<Bytes> doubled = burst;
  doubled.insert(doubled.end(), burst.begin(), burst.end());
  EXPECT_EQ(20u, node.exchange(0, doubled).size());
  EXPECT_EQ((Change{.received = 40, .transmitted = 20, .replayed = 20}), node.change());
  EXPECT_TRUE(node.exchange(0, burst).empty());
  EXPECT_EQ((Change{.received = 20, .replayed = 20}), node.change());
  EXPECT_EQ(40u, node.tables->stats.link(LinkIndex{1}).replays.get());
}

TEST_P(Arrival, TheWindowIs8192CountersWide) {
  const auto with_counter = [&](uint64_t counter) { return sealed([&](Header& h) { h.lane_counter = counter; }); };
  EXPECT_EQ(1u, node.exchange(0, {with_counter(20'000)}).size());
  EXPECT_EQ(1u, node.exchange(0, {with_counter(20'000 - 8191)}).size());
  EXPECT_EQ(0u, node.exchange(0, {with_counter(20'000 - 8192)}).size());
  EXPECT_EQ(0u, node.exchange(0, {with_counter((uint64_t{1} << 56) - 1)}).size());
  EXPECT_EQ((Change{.received = 4, .transmitted = 2, .replayed = 2}), node.change());
  // A forged frame far ahead moves nothing.
  Bytes forged = with_counter(1'000'000'000);
  forged.back() ^= 1;
  EXPECT_EQ(0u, node.exchange(0, {forged}).size());
  EXPECT_EQ(1u, node.exchange(0, {with_counter(20'000 - 8190)}).size());
}

TEST_F(Crossroads, WhatEveryFrameAsksOfALinkStandsInOneLine) {
  const dataplane::Link& link = *node.tables->links.find(1);
  const auto line_of = [](const void* at) { return reinterpret_cast<uintptr_t>(at) / 64; };
  for (const void* hot : {static_cast<const void*>(&link.send.current), static_cast<const void*>(&link.index),
                          static_cast<const void*>(&link.admission), static_cast<const void*>(&link.lanes[0].worker),
                          static_cast<const void*>(&link.lanes[0].windows)})
    EXPECT_EQ(line_of(&link.config), line_of(hot));
  EXPECT_EQ(line_of(link.config.load()), line_of(&link.config.load()->put.kind));
  EXPECT_EQ(line_of(link.lanes[0].windows.load()), line_of(&link.lanes[0].windows.load()->slots[1].heard_ns));
}

INSTANTIATE_TEST_SUITE_P(Links, Arrival, testing::Bool(), [](const auto& many) { return many.param ? "Many" : "Few"; });

}  // namespace
}  // namespace sky::test
