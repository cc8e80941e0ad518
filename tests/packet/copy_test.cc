// Groups of mode copy: sealed once, sent over two circuits, delivered once.
#include "tests/packet/crossroads.h"

namespace sky::test {
namespace {

constexpr GroupIndex kGroup{7};
constexpr uint32_t kConsume = 0x00000777;
constexpr uint16_t kCopyStream = 48;
constexpr uint32_t kRate = 1'000'000;
constexpr int kAtOnce = 1'000;  ///< a millisecond's worth of it

Bytes outward(size_t payload = 64) {
  return ipv6({.source = "fd00:1::1", .destination = "fd00:f::1", .payload = payload});
}
Bytes inward(size_t payload = 64) {
  return ipv6({.source = "fd00:f::1", .destination = "fd00:1::1", .payload = payload});
}

MemberMessage copied_member(uint8_t slot, const LinkPeer& first, uint32_t session, uint16_t copy_stream = kCopyStream) {
  MemberMessage member =
      member_put(7, slot, first.link, kNext + slot, kConsume + slot, session, static_cast<uint16_t>(16 * slot));
  member.copied = copied_word({.stream = copy_stream, .window = 13});
  member.weight = slot == 0 ? 1 : 0;
  member.hop_limit = static_cast<uint8_t>(50 + slot);
  return member;
}

RuleMessage copied_rule(uint32_t route, const LinkPeer& link, uint32_t session, uint16_t stream, uint8_t window,
                        uint8_t worker = 0) {
  RuleMessage rule = consume_put(route, link.link, session, stream, 1, 0x77, 2, worker);
  rule.copied = copied_word({.stream = kCopyStream, .window = window});
  return rule;
}

class CopyOut : public Crossroads {
 protected:
  void SetUp() override {
    Crossroads::SetUp();
    GroupMessage group = group_put(7, kDomain);
    group.mode = GroupMode::copy;
    group.copy_rate = kRate;
    node.install({message(group), message(destination_put("fd00:f::", 32, kGroup)),
                  message(consume_put(kConsume, right.link, far.session, 0)),
                  message(consume_put(kConsume + 1, spare.link, far.session, 1)),
                  message(copied_member(0, right, far.session)), message(copied_member(1, spare, far.session))});
    node.turn();
    node.turn();
    for (unsigned port = 0; port < 3; ++port) node.port(port).pop_all();
    node.events();
    node.change();
  }
  std::vector<Bytes> send_plain(const Bytes& inner) {
    node.tun_write(inner);
    node.pass(100'000);
    return node.exchange(0, {});
  }
  /// Expects a Datagram for that link and member.
  SessionPeer::Opened by(LinkPeer& link, unsigned slot, const Bytes& bytes, Bytes* sealed = nullptr) {
    const auto frame = link.open(bytes);
    EXPECT_TRUE(frame && frame->type() == 17);
    if (!frame) return {};
    EXPECT_EQ(kNext + slot, frame->route());
    EXPECT_EQ(50 + slot, frame->header.hop_limit);
    if (sealed != nullptr) *sealed = frame->payload();
    const auto opened = far.open(frame->payload());
    EXPECT_TRUE(opened);
    return opened.value_or(SessionPeer::Opened{});
  }
  void expect_alone(const std::vector<Bytes>& out, LinkPeer& link, unsigned slot) {
    ASSERT_EQ(1u, out.size());
    const auto opened = by(link, slot, out[0]);
    EXPECT_EQ(outward(), opened.inner);
    EXPECT_EQ(16 * slot, opened.stream) << "the member's own stream";
  }
};

TEST_F(CopyOut, SealedOnceAndSentOverBoth) {
  for (uint64_t counter = 0; counter < 3; ++counter) {
    const auto out = send_plain(outward(counter));
    ASSERT_EQ(2u, out.size());
    Bytes one, other;
    const auto first = by(right, 0, out[0], &one);
    const auto second = by(spare, 1, out[1], &other);
    EXPECT_EQ(one, other) << "the same Datagram, bit for bit";
    EXPECT_EQ(outward(counter), first.inner);
    EXPECT_EQ(kCopyStream, first.stream);
    EXPECT_EQ(counter, first.counter);
    EXPECT_EQ((Change{.injected_tun = 1, .copied = 1, .transmitted = 2}), node.change());
  }
  EXPECT_EQ(3u, node.tables->stats.member(kGroup, 0).packets.get());
  EXPECT_EQ(3u, node.tables->stats.member(kGroup, 1).packets.get());
}

TEST_F(CopyOut, AWholeBurst) {
  for (int i = 0; i < 64; ++i) node.tun_write(outward(static_cast<size_t>(i)));
  node.pass(100'000);
  const auto out = node.exchange(0, {});
  ASSERT_EQ(128u, out.size());
  for (unsigned i = 0; i < 64; ++i) {
    EXPECT_EQ(outward(i), by(right, 0, out[i]).inner);
    EXPECT_EQ(outward(i), by(spare, 1, out[64 + i]).inner);
  }
  EXPECT_EQ((Change{.injected_tun = 64, .copied = 64, .transmitted = 128}), node.change());
}

TEST_F(CopyOut, WhileOneIsDeadTheOtherTakesIt) {
  for (const auto& [dead, slot] : {std::pair(kConsume, 1u), std::pair(kConsume + 1, 0u)}) {
    std::vector<InstallMessage> events;
    node.tables->circuit_died(RouteId{dead}, events);
    expect_alone(send_plain(outward()), slot == 0 ? right : spare, slot);
    EXPECT_EQ((Change{.injected_tun = 1, .transmitted = 1, .copy_alone = 1}), node.change());
    node.tables->groups.find(7)->lives[1 - slot].live = true;
  }
  EXPECT_EQ(2u, send_plain(outward()).size());
}

TEST_F(CopyOut, AFlowThatWentElsewhereComesBackToThePair) {
  MemberMessage other = member_put(7, 2, left.link, kNext + 2, kConsume + 2, far.session, 32, 0);
  other.hop_limit = 52;
  node.install({message(consume_put(kConsume + 2, left.link, far.session, 32)), message(other)});
  node.turn();
  node.port(0).pop_all();
  std::vector<InstallMessage> events;
  for (const uint32_t consume : {kConsume, kConsume + 1}) node.tables->circuit_died(RouteId{consume}, events);
  node.change();
  expect_alone(send_plain(outward()), left, 2);
  EXPECT_EQ((Change{.injected_tun = 1, .transmitted = 1, .copy_alone = 1}), node.change());
  for (const unsigned slot : {0, 1}) node.tables->groups.find(7)->lives[slot].live = true;
  EXPECT_EQ(2u, send_plain(outward()).size());
  EXPECT_EQ((Change{.injected_tun = 1, .copied = 1, .transmitted = 2}), node.change());
}

TEST_F(CopyOut, WhatIsOverTheRateGoesOnce) {
  constexpr int kBursts = 16;
  constexpr int kOver = kBursts * 64 - kAtOnce;
  node.pass(100'000);
  std::vector<Bytes> out;
  for (int burst = 0; burst < kBursts; ++burst) {
    for (int i = 0; i < 64; ++i) node.tun_write(outward());
    for (Bytes& frame : node.exchange(0, {})) out.push_back(std::move(frame));
  }
  EXPECT_EQ((Change{.injected_tun = kBursts * 64,
                    .copied = kAtOnce,
                    .transmitted = kBursts * 64 + kAtOnce,
                    .copy_over_rate = kOver}),
            node.change());
  expect_alone({out[out.size() - 1 - (64 - kOver)]}, right, 0);
  node.pass(5'000);  // five more may go, and no sixth
  for (int i = 0; i < 10; ++i) node.tun_write(outward());
  node.exchange(0, {});
  EXPECT_EQ((Change{.injected_tun = 10, .copied = 5, .transmitted = 15, .copy_over_rate = 5}), node.change());
}

TEST_F(CopyOut, TheSecondCircuitMustCarryIt) {
  MemberMessage narrow = copied_member(1, spare, far.session);
  narrow.mtu = 1280;
  node.install({message(narrow)});
  EXPECT_EQ(1u, send_plain(outward(1241)).size());
  EXPECT_EQ(2u, send_plain(outward(1240)).size());
  EXPECT_EQ((Change{.injected_tun = 2, .copied = 1, .transmitted = 3, .copy_alone = 1}), node.change());
}

TEST_F(CopyOut, OnlyMembersOfOneCopiedStreamArePaired) {
  node.install({message(copied_member(1, spare, far.session, kCopyStream + 16))});
  expect_alone(send_plain(outward()), right, 0);
  MemberMessage plain = copied_member(1, spare, far.session);
  plain.copied = 0;
  node.install({message(plain)});
  expect_alone(send_plain(outward()), right, 0);
  EXPECT_EQ((Change{.injected_tun = 2, .transmitted = 2, .copy_alone = 2}), node.change());
}

TEST_F(CopyOut, AGroupThatPinsAgainDoesNot) {
  node.install({message(group_put(7, kDomain))});
  expect_alone(send_plain(outward()), right, 0);
  EXPECT_EQ((Change{.injected_tun = 1, .transmitted = 1}), node.change());
}

// --- at the far end

class CopyIn : public Crossroads {
 protected:
  explicit CopyIn(NodeConfig config = {}) : Crossroads(std::move(config)) {}
  void SetUp() override {
    Crossroads::SetUp();
    node.install({message(group_put(7, kDomain)), message(destination_put("fd00:f::", 32, kGroup)),
                  message(destination_put("fd00:1::", 32, kLocalGroup))});
  }
  void put_rules(uint8_t window, uint8_t worker = 0) {
    node.install({message(copied_rule(kRoute, left, far.session, 0, window, worker)),
                  message(copied_rule(kRoute + 1, right, far.session, 1, window, worker))});
  }
  void arrive(unsigned way, const Bytes& datagram) {
    node.exchange(way, {(way == 0 ? left : right).seal(packet(17, kRoute + way, datagram))});
  }
  Bytes copy(uint64_t counter) { return far.seal(0, kCopyStream, counter, inward()); }
  int64_t delivered() { return static_cast<int64_t>(node.tun_read().size()); }
};

TEST_F(CopyIn, TheFirstIsDeliveredTheSecondCounted) {
  put_rules(13);
  for (const unsigned first : {0, 1}) {
    const Bytes datagram = copy(first);
    arrive(first, datagram);
    arrive(1 - first, datagram);
    EXPECT_EQ(1, delivered());
    EXPECT_EQ((Change{.received = 2, .delivered_tun = 1, .copy_duplicate = 1}), node.change());
  }
  const Bytes own = far.seal(0, inward());
  arrive(0, own);
  arrive(0, own);
  EXPECT_EQ(1, delivered());
  EXPECT_EQ((Change{.received = 2, .delivered_tun = 1, .session_replayed = 1}), node.change())
      << "a stream that is not copied";
}

TEST_F(CopyIn, BothInOneBurst) {
  put_rules(13);
  const Bytes datagram = copy(5);
  node.exchange(0, {left.seal(packet(17, kRoute, datagram)), left.seal(packet(17, kRoute, datagram))});
  EXPECT_EQ(1, delivered());
  EXPECT_EQ((Change{.received = 2, .delivered_tun = 1, .copy_duplicate = 1}), node.change());
}

/// 20 ms between the ways at 15 million packets a second: 300,000 counters. The fast way loses a packet now and then,
/// and is cut in the middle; the slow one brings what is missing.
TEST_F(CopyIn, NothingIsLostBetweenWaysThatAreFarApart) {
  constexpr uint64_t kApart = 300'000, kStep = 50, kPackets = 20'000, kCut = kPackets / 2;
  put_rules(20);
  int64_t got = 0, duplicates = 0;
  for (uint64_t at = 0; at < kPackets + kApart / kStep; ++at) {
    if (at < kCut && at % 7 != 0) arrive(0, copy(at * kStep));
    if (at >= kApart / kStep) {
      const uint64_t sent = at - kApart / kStep;
      arrive(1, copy(sent * kStep));
      duplicates += sent < kCut && sent % 7 != 0;
    }
    got += delivered();
  }
  EXPECT_EQ(static_cast<int64_t>(kPackets), got);
  const Change change = node.change();
  EXPECT_EQ(duplicates, change.copy_duplicate);
  EXPECT_EQ(0, change.copy_late);
}

TEST_F(CopyIn, WhatIsOlderThanTheWindowIsLostByName) {
  put_rules(14);
  arrive(0, copy(16'384));
  arrive(1, copy(1));
  EXPECT_EQ((Change{.received = 2, .delivered_tun = 2}), node.change());
  arrive(1, copy(0));
  EXPECT_EQ((Change{.received = 1, .copy_late = 1}), node.change());
  EXPECT_EQ(2, delivered());
}

TEST_F(CopyIn, WindowsSurviveTheRulesAndKeepTheirLength) {
  put_rules(16);
  arrive(0, copy(60'000));
  node.install({message(delete_of(Verb::delete_rule, kRoute)), message(delete_of(Verb::delete_rule, kRoute + 1))});
  for (int turns = 0; turns < 3; ++turns) node.turn();
  put_rules(16);
  node.change();
  arrive(1, copy(60'000));
  arrive(1, copy(1));
  EXPECT_EQ((Change{.received = 2, .delivered_tun = 1, .copy_duplicate = 1}), node.change());
  EXPECT_EQ(2, delivered());
}

/// A pair that is made anew names other streams; what is still on its way on the old ones counts.
TEST_F(CopyIn, AnotherCopiedStreamTakesOverWithoutLoss) {
  put_rules(13);
  arrive(0, copy(7));
  RuleMessage anew = copied_rule(kRoute, left, far.session, 0, 16);
  anew.copied = copied_word({.stream = kCopyStream + 16, .window = 16});
  node.install({message(anew)});
  anew.rule.route_id = RouteId{kRoute + 1};
  anew.rule.in_link = LinkIndex{right.link};
  anew.rule.stream = 1;
  node.install({message(anew)});
  for (int turns = 0; turns < 3; ++turns) node.turn();
  node.change();
  arrive(1, copy(7));
  arrive(1, copy(8));
  arrive(0, far.seal(0, kCopyStream + 16, 0, inward()));
  EXPECT_EQ((Change{.received = 3, .delivered_tun = 2, .copy_duplicate = 1}), node.change());
  EXPECT_EQ(3, delivered());
}

/// Else a window that comes in its place would not know what this one took.
TEST_F(CopyIn, WhatNoRuleNamesTakesNoNewerKeys) {
  put_rules(13);
  arrive(0, copy(7));
  node.install({message(consume_put(kRoute, left.link, far.session, 0)),
                message(consume_put(kRoute + 1, right.link, far.session, 1))});
  for (int turns = 0; turns < 3; ++turns) node.turn();
  arrive(1, copy(8));
  EXPECT_EQ(2, delivered()) << "what was on its way";
  const auto arrive_under = [&](uint32_t step, unsigned stream) {
    far.step = step;
    arrive(0, far.seal(stream, inward()));
    node.turn();
    node.pass(3'000'000'000);
    for (int turns = 0; turns < 3; ++turns) node.turn();
  };
  arrive_under(1, 0);
  node.change();
  arrive_under(1, kCopyStream);
  EXPECT_EQ(2, delivered()) << "a key that was there when the rules went";
  arrive_under(2, kCopyStream);
  EXPECT_EQ(1, node.change().session_stream);
  arrive_under(2, 0);
  EXPECT_EQ(1, delivered());
  for (unsigned port = 0; port < 3; ++port) node.port(port).pop_all();
}

TEST_F(CopyIn, LongWindowsHaveAnEnd) {
  constexpr uint64_t kLongest = 4u * (1u << 20) / 8;  // a little more with its head
  uint8_t made = 0;
  std::vector<InstallMessage> rules;
  for (; made < 200; ++made) {
    RuleMessage rule = copied_rule(kRoute + 1u + made, left, far.session, static_cast<uint16_t>(1024 + made), 20);
    rule.copied = copied_word({.stream = static_cast<uint16_t>(4096 + 16 * made), .window = 20});
    rules.push_back(message(rule));
  }
  node.install(rules);
  uint64_t longer = 0;
  for (unsigned i = 0; i < made; ++i)
    longer += node.tables->sessions.find(far.session)->windows(4096 + 16 * i)->bytes() > kLongest;
  EXPECT_EQ((uint64_t{64} << 20) / (kLongest + 128), longer);
  // They give it back.
  std::vector<InstallMessage> gone;
  for (unsigned i = 0; i < made; ++i) gone.push_back(message(delete_of(Verb::delete_rule, kRoute + 1 + i)));
  gone.push_back(message(delete_of(Verb::delete_session, far.session)));
  node.install(gone);
  for (int turns = 0; turns < 4; ++turns) node.turn();
  SessionPeer other{6, 66};
  node.install(session_installs(other, kDomain));
  node.install({message(copied_rule(kRoute, left, other.session, 0, 20))});
  EXPECT_GT(node.tables->sessions.find(other.session)->windows(kCopyStream)->bytes(), kLongest);
}

// --- two workers: ports 0 and 2 belong to the first, port 1 to the second

class CopyInTwo : public CopyIn {
 protected:
  CopyInTwo() : CopyIn({.workers = 2}) {}
};

TEST_F(CopyInTwo, OneOfThemOpensBoth) {
  put_rules(13, 1);
  for (const unsigned first : {0, 1}) {
    const Bytes datagram = copy(first);
    arrive(first, datagram);
    arrive(1 - first, datagram);
    EXPECT_EQ(1, delivered());
    EXPECT_EQ((Change{.received = 2, .taken_over = 1, .delivered_tun = 1, .handed_over = 1, .copy_duplicate = 1}),
              node.change());
  }
  EXPECT_EQ(2, node.total(1).delivered_tun);
}

TEST_F(CopyInTwo, ARuleThatNamesAnotherWorkerCannotTouchTheWindow) {
  node.install({message(copied_rule(kRoute, left, far.session, 0, 13, 0))});
  node.install({message(copied_rule(kRoute + 1, right, far.session, 1, 13, 1))});
  arrive(0, copy(0));
  arrive(1, copy(1));
  EXPECT_EQ((Change{.received = 2, .delivered_tun = 1, .session_stream = 1}), node.change());
  EXPECT_EQ(1, delivered());
}

TEST_F(CopyInTwo, ProbesStayWithTheLinksOwner) {
  put_rules(13, 1);
  const OpenedFrame pong = only(send(left, packet(4, kRoute, Bytes(16))), left);
  EXPECT_EQ(5, pong.type());
  EXPECT_EQ((Change{.received = 1, .injected_probe = 1, .transmitted = 1, .delivered_local = 1}), node.change());
  EXPECT_EQ(0u, pong.header.lane_counter >> 56) << "lane 0: worker 0 answers what came by its port";
}

}  // namespace
}  // namespace sky::test
