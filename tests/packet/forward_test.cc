// Frames that pass through: opened, their route ID swapped, sealed for the next link.
#include "tests/packet/crossroads.h"

namespace sky::test {
namespace {

class Forward : public Crossroads {
 protected:
  void SetUp() override {
    Crossroads::SetUp();
    node.install({message(forward_put(kRoute, left.link, right.link, kNext, 0x62))});
  }
  Bytes seal(const Bytes& packet, uint8_t hop_limit = 50, uint8_t class_ecn = 0x60) {
    Header header = left.next_header();
    header.hop_limit = hop_limit;
    header.class_ecn = class_ecn;
    return left.seal(header, packet);
  }
  std::vector<Bytes> pass_one() { return node.exchange(0, {seal(packet(17, kRoute, pattern(50)))}); }
  /// The peer says that it hears nothing: the link is down after the node's next ping is due.
  void take_down(LinkPeer& peer) {
    for (LinkPeer* other : {&left, &right, &spare}) {
      node.port(port_of(*other)).push(other->ping(other != &peer, 1'000'000));
    }
    node.pass(1'000'000'000);
    node.turn();
    for (LinkPeer* other : {&left, &right, &spare}) node.port(port_of(*other)).pop_all();
    ASSERT_FALSE(node.tables->links.find(peer.link)->usable());
    node.change();
  }
};

constexpr Change kForwarded{.received = 1, .transmitted = 1};

TEST_F(Forward, SwapsTheRouteIdAndLeavesTheRest) {
  for (const unsigned type : {0u, 1u, 2u, 3u, 4u, 5u, 6u, 7u, 8u, 17u, 18u, 23u, 64u, 65u, 255u}) {
    const Bytes payload = pattern(100, type);
    const auto out = only(node.exchange(0, {seal(packet(type, kRoute, payload))}), right);
    EXPECT_EQ(packet(type, kNext, payload), out.inside);
    EXPECT_EQ(49, out.header.hop_limit);
    EXPECT_EQ(0x60, out.header.class_ecn);
    EXPECT_EQ(kForwarded, node.change());
  }
}

TEST_F(Forward, EveryLengthExactlyAndPaddedWithZeros) {
  for (size_t size = 0; size <= 1461; ++size) {
    const Bytes payload = pattern(size);
    Bytes expected = packet(17, kNext, payload);
    expected.resize(std::max<size_t>(expected.size(), 14));
    const auto frames = node.exchange(0, {seal(packet(17, kRoute, payload))});
    ASSERT_EQ(expected, only(frames, right).inside) << size;
    ASSERT_EQ(14 + 32 + expected.size(), frames[0].size());
    ASSERT_EQ(kForwarded, node.change()) << size;
  }
}

TEST_F(Forward, WhatHidesInThePaddingGoesNoFurther) {
  Bytes inside = packet(17, kRoute, pattern(3));
  inside.resize(14, 0xee);
  Bytes clean = packet(17, kNext, pattern(3));
  clean.resize(14);
  EXPECT_EQ(clean, only(node.exchange(0, {seal(inside)}), right).inside);
}

TEST_F(Forward, ABurstKeepsItsOrderAndItsCountersRise) {
  std::vector<Bytes> frames;
  for (uint8_t i = 0; i < 64; ++i) frames.push_back(seal(packet(17, kRoute, Bytes(1, i))));
  const auto out = node.exchange(0, frames);
  ASSERT_EQ(64u, out.size());
  for (uint8_t i = 0; i < 64; ++i) {
    const auto frame = right.open(out[i]);
    ASSERT_TRUE(frame);
    EXPECT_EQ(Bytes(1, i), frame->payload());
    EXPECT_EQ(i + 1u, frame->header.lane_counter);  // 0 was the liveness ping
  }
}

TEST_F(Forward, TheHopLimitAtItsEdge) {
  EXPECT_EQ(1, only(node.exchange(0, {seal(packet(17, kRoute), 2)}), right).header.hop_limit);
  EXPECT_EQ(254, only(node.exchange(0, {seal(packet(17, kRoute), 255)}), right).header.hop_limit);
  EXPECT_EQ((Change{.received = 2, .transmitted = 2}), node.change());
}

TEST_F(Forward, BackThroughTheLinkItCameBy) {
  node.install({message(forward_put(kRoute + 1, left.link, left.link, kNext))});
  EXPECT_EQ(kNext, only(send(left, packet(17, kRoute + 1)), left).route());
}

TEST_F(Forward, TooBigForTheNextLink) {
  LinkMessage narrow = link_put(right, 1);
  narrow.mtu = 576;
  node.install({message(narrow)});
  EXPECT_EQ(1u, node.exchange(0, {seal(packet(17, kRoute, pattern(576 - 39)))}).size());
  EXPECT_EQ(kForwarded, node.change());
  EXPECT_EQ(0u, node.exchange(0, {seal(packet(17, kRoute, pattern(577 - 39)))}).size());
  EXPECT_EQ((Change{.received = 1, .too_big = 1}), node.change());
}

TEST_F(Forward, TheAlternateTakesOverAndGivesBack) {
  RuleMessage rule = forward_put(kRoute, left.link, right.link, kNext, 0x62);
  rule.rule.alternate_link = LinkIndex{spare.link};
  rule.rule.alternate_route = RouteId{0x33333333};
  node.install({message(rule)});
  EXPECT_EQ(kNext, only(pass_one(), right).route());
  take_down(right);
  EXPECT_EQ(0x33333333u, only(pass_one(), spare).route());
  EXPECT_EQ(kForwarded, node.change());
  take_down(spare);
  EXPECT_TRUE(pass_one().empty());
  EXPECT_EQ((Change{.received = 1, .link_down = 1}), node.change());
}

TEST_F(Forward, WithoutAlternateADownLinkIsTheEnd) {
  take_down(right);
  EXPECT_TRUE(pass_one().empty());
  EXPECT_EQ((Change{.received = 1, .link_down = 1}), node.change());
}

TEST_F(Forward, NoKeyToSealWith) {
  LinkPeer deaf{4, 104, 14};
  deaf.node_mac = node.port(2).port().mac();
  const auto installs = link_installs(deaf, 2);
  node.install({installs[0], installs[1], message(forward_put(kRoute + 1, left.link, deaf.link, kNext))});
  bring_up(node, {{&deaf, 2}});
  node.change();
  EXPECT_TRUE(send(left, packet(17, kRoute + 1)).empty());
  EXPECT_EQ((Change{.received = 1, .no_send_key = 1}), node.change());
}

// --- queues and ports

TEST_F(Forward, QueuesLeaveInStrictOrder) {
  node.install({message(forward_put(kRoute + 1, left.link, right.link, 1, 2)),
                message(forward_put(kRoute + 2, left.link, right.link, 2, 1))});
  node.inject({.kind = SlotKind::link_packet, .type = 64, .length = 10, .link = LinkIndex{right.link}});
  std::vector<Bytes> frames;
  for (unsigned i = 0; i < 30; ++i) frames.push_back(left.seal(packet(17, kRoute + 1 + i % 2)));
  std::vector<uint32_t> routes, wanted{0};
  for (const Bytes& frame : node.exchange(0, frames)) routes.push_back(right.open(frame).value().route());
  for (const uint32_t route : {2, 1}) wanted.insert(wanted.end(), 15, route);
  EXPECT_EQ(wanted, routes) << "control, realtime, other";
}

class FullPort : public Crossroads {
 protected:
  FullPort() : Crossroads({.ring_frames = 64}) {}
};

TEST_F(FullPort, WhatThePortDoesNotTakeWaitsItsTurn) {
  node.install({message(forward_put(kRoute, left.link, right.link, kNext))});
  for (int burst = 0; burst < 2; ++burst) {
    for (int i = 0; i < 50; ++i) node.port(0).push(left.seal(packet(17, kRoute)));
    node.worker_turn();
  }
  EXPECT_EQ((Change{.received = 100, .transmitted = 63, .queued = 37}), node.change());
  EXPECT_EQ(63u, node.port(1).pop_all().size());
  node.worker_turn();
  EXPECT_EQ((Change{.transmitted = 37, .queued = -37}), node.change());
  EXPECT_EQ(0u, node.tables->stats.port(PortIndex{1}).full.get());
  uint64_t counter = 64;  // the first of all was a ping
  for (const Bytes& frame : node.port(1).pop_all()) EXPECT_EQ(counter++, right.open(frame).value().header.lane_counter);
}

// --- rates

class Rates : public Crossroads {
 protected:
  /// A circuit of so many kbit/s, and a link with so much for all of them.
  void install(uint32_t circuit, uint32_t budget, uint32_t all = 0) {
    LinkMessage link = link_put(left, 0);
    link.realtime_kbit_s = budget;
    link.rate_kbit_s = all;
    RuleMessage rule = forward_put(kRoute, left.link, right.link, kNext, 1);
    rule.rate_kbit_s = circuit;
    RuleMessage other = forward_put(kRoute + 1, left.link, right.link, kNext + 1, 2);
    node.install({message(link), message(rule), message(other)});
  }
  /// For a second, `count` packets of `bytes` on the wire behind Ethernet: how many went on.
  uint64_t send_for_a_second(uint32_t route, unsigned count, size_t bytes = 1000) {
    uint64_t arrived = 0;
    for (LinkPeer* peer : {&left, &right, &spare}) node.port(port_of(*peer)).push(peer->ping(true, 1'000'000));
    for (unsigned i = 0; i < count; ++i) {
      node.pass(1'000'000'000 / count);
      for (const Bytes& frame : node.exchange(0, {left.seal(packet(17, route, pattern(bytes - 39)))}))
        if (const auto opened = right.open(frame)) arrived += opened->route() != 0;
    }
    return arrived;
  }
  const LinkStats& stats() { return node.tables->stats.link(LinkIndex{left.link}); }
};

TEST_F(Rates, ACircuitBeyondItsRateGoesOnInTheLastQueue) {
  install(800, 8'000);  // 100,000 bytes a second, and as many as 16,384 at once
  EXPECT_EQ(100u, send_for_a_second(kRoute, 100));
  EXPECT_EQ(0u, stats().demoted.get());
  EXPECT_EQ(400u, send_for_a_second(kRoute, 400));
  EXPECT_NEAR(400 - 100 - 16, static_cast<double>(stats().demoted.get()), 2);
  node.change();
}

TEST_F(Rates, CircuitsOfANeighbourShareItsBudget) {
  install(8'000, 800);
  EXPECT_EQ(400u, send_for_a_second(kRoute, 400));
  EXPECT_NEAR(400 - 100 - 16, static_cast<double>(stats().demoted.get()), 2);
  install(8'000, 0);
  const uint64_t before = stats().demoted.get();
  EXPECT_EQ(10u, send_for_a_second(kRoute, 10));
  EXPECT_EQ(before + 10, stats().demoted.get()) << "no budget at all";
  node.change();
}

TEST_F(Rates, MoreThanIsTakenOfANeighbourIsDroppedByName) {
  install(8'000, 8'000, 800);
  const uint64_t passed = send_for_a_second(kRoute + 1, 400);
  EXPECT_NEAR(100 + 16, static_cast<double>(passed), 2);
  EXPECT_EQ(400 - passed, stats().over_rate.get());
  const Change change = node.change();
  EXPECT_EQ(static_cast<int64_t>(400 - passed), change.over_rate);
  node.port(0).push(left.ping(true, 1'000'000));
  node.worker_turn();
  EXPECT_EQ(1, node.change().delivered_local) << "liveness is not metered";
  install(8'000, 8'000);
  EXPECT_EQ(400u, send_for_a_second(kRoute + 1, 400)) << "and without a limit";
  node.change();
}

class StuckPort : public FullPort {
 protected:
  void SetUp() override {
    Crossroads::SetUp();
    node.install({message(forward_put(kRoute, left.link, right.link, kNext)), message(realtime())});
    feed(kRoute, 63);  // all that it has room for
    node.change();
  }
  static RuleMessage realtime() {
    RuleMessage rule = forward_put(kRoute + 1, 1, 2, kNext + 1, 1);
    rule.rate_kbit_s = 1'000'000;
    return rule;
  }
  void feed(uint32_t route, int frames, uint8_t class_ecn = 0) {
    for (; frames > 0; frames -= 50) {
      for (int i = 0; i < std::min(frames, 50); ++i) {
        Header header = left.next_header();
        header.class_ecn = class_ecn;
        node.port(0).push(left.seal(header, packet(17, route)));
      }
      node.worker_turn();
    }
  }
  struct Queue {
    uint64_t frames = 0, bytes = 0, queued = 0;
    bool operator==(const Queue&) const = default;
  };
  /// What each queue of the stuck port counted since this was asked last, and what waits in it.
  std::array<Queue, kQueues> queues() {
    std::array<Queue, kQueues> grown;
    for (unsigned level = 0; level < kQueues; ++level) {
      const QueueStats& now = node.tables->stats.port(PortIndex{1}).queues[level];
      grown[level] = {now.transmitted.get() - before[level].frames, now.transmitted_bytes.get() - before[level].bytes,
                      now.queued.get()};
      before[level] = {now.transmitted.get(), now.transmitted_bytes.get(), 0};
    }
    return grown;
  }
  std::array<Queue, kQueues> before;
  /// Takes everything away, turn by turn: (route, ECN) in order.
  std::vector<std::pair<uint32_t, unsigned>> drain() {
    std::vector<std::pair<uint32_t, unsigned>> out;
    for (int turn = 0; turn < 20; ++turn) {
      for (const Bytes& bytes : node.port(1).pop_all()) {
        const auto frame = right.open(bytes);
        EXPECT_TRUE(frame);
        out.emplace_back(frame->route(), frame->header.class_ecn >> 3);
      }
      node.worker_turn();
    }
    return out;
  }
};

TEST_F(StuckPort, HoldsSoManyAndDropsTheRestByName) {
  feed(kRoute, 300);
  EXPECT_EQ((Change{.received = 300, .queued = 256, .port_full = 44}), node.change());
  EXPECT_EQ(44u, node.tables->stats.port(PortIndex{1}).full.get());
  EXPECT_EQ(63u + 256u, drain().size());
  EXPECT_EQ((Change{.transmitted = 256, .queued = -256}), node.change());
  feed(kRoute, 65);  // what waits at the end goes with the worker
  EXPECT_EQ((Change{.received = 65, .transmitted = 63, .queued = 2}), node.change());
  node.port(1).pop_all();
}

TEST_F(StuckPort, CountsQueueByQueue) {
  queues();
  feed(kRoute, 100);
  feed(kRoute + 1, 20);
  EXPECT_EQ((std::array<Queue, kQueues>{Queue{}, Queue{0, 0, 20}, Queue{0, 0, 100}}), queues());
  EXPECT_EQ(63u, node.port(1).pop_all().size());
  node.worker_turn();  // realtime first, and of the others what has room
  const uint64_t bytes = left.seal(packet(17, kRoute)).size();
  EXPECT_EQ((std::array<Queue, kQueues>{Queue{}, Queue{20, 20 * bytes, 0}, Queue{43, 43 * bytes, 57}}), queues());
  node.inject({.kind = SlotKind::link_packet, .type = 64, .length = 10, .link = LinkIndex{right.link}});
  drain();
  const auto [control, realtime, other] = queues();
  EXPECT_EQ((Queue{1, 14 + 32 + 17, 0}), control);
  EXPECT_EQ((Queue{}), realtime);
  EXPECT_EQ((Queue{57, 57 * bytes, 0}), other);
  node.change();
}

TEST_F(StuckPort, RealtimeGoesAheadOfWhatWaits) {
  feed(kRoute, 100);
  feed(kRoute + 1, 20);
  const auto out = drain();
  ASSERT_EQ(63u + 120u, out.size());
  for (size_t i = 63; i < out.size(); ++i) EXPECT_EQ(i < 83 ? kNext + 1 : kNext, out[i].first) << i;
  node.change();
}

TEST_F(StuckPort, MarksCapablePacketsBeforeItDropsAny) {
  feed(kRoute, 64);
  for (const uint8_t ecn : {0, 1, 2, 3}) feed(kRoute, 1, static_cast<uint8_t>(ecn << 3));
  EXPECT_EQ((Change{.received = 68, .queued = 68}), node.change());
  EXPECT_EQ(2u, node.tables->stats.link(LinkIndex{right.link}).marked.get());
  const auto out = drain();
  ASSERT_EQ(63u + 68u, out.size());
  std::vector<unsigned> marks;
  for (size_t i = out.size() - 4; i < out.size(); ++i) marks.push_back(out[i].second);
  EXPECT_EQ((std::vector<unsigned>{0, 3, 3, 3}), marks);
  node.change();
  feed(kRoute, 1, 2 << 3);
  EXPECT_EQ(2u, drain().at(0).second) << "nothing waits any more";
  node.change();
}

/// Two words say that a link has a rate: a worker may see one of them before the other.
TEST_F(Forward, AdmissionMayKnowOfARateThatTheConfigurationDoesNot) {
  node.install({message(forward_put(kRoute, left.link, right.link, kNext))});
  auto& admission = node.tables->links.find(left.link)->admission;
  dataplane::Admission limited = admission.load();
  limited.limited = true;
  admission.store(limited);
  EXPECT_EQ(1u, send(left, packet(17, kRoute, pattern(50))).size());
}

}  // namespace
}  // namespace sky::test
