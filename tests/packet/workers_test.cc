// Two workers: ports 0 and 2 (left, spare) belong to worker 0, port 1 (right) to worker 1. Each seals on a lane of its
// own, opens what its ports receive, and hands on what another one owns.
#include "tests/packet/crossroads.h"

namespace sky::test {
namespace {

constexpr uint16_t kStream = 32;
constexpr uint8_t kNormal = 2;
constexpr uint8_t kPing = 4, kPong = 5;
constexpr uint64_t kMs = 1'000'000;

class Workers : public Crossroads {
 protected:
  Workers() : Crossroads({.workers = 2}) {}
  static unsigned lane(const OpenedFrame& frame) { return static_cast<unsigned>(frame.header.lane_counter >> 56); }
};

TEST_F(Workers, EachSealsOnItsOwnLane) {
  node.install({message(forward_put(kRoute, left.link, right.link, kNext)),
                message(forward_put(kRoute + 1, right.link, left.link, kNext)),
                message(forward_put(kRoute + 2, left.link, spare.link, kNext))});
  const auto through = [&](LinkPeer& from, uint32_t route, LinkPeer& to) {
    const OpenedFrame out = only(send(from, packet(17, route, pattern(100))), to);
    EXPECT_EQ(pattern(100), out.payload());
    return out.header.lane_counter;
  };
  const uint64_t ping = 1;  // sealed by the link's owner before
  EXPECT_EQ(0u, through(left, kRoute, right)) << "lane 0 of a link whose pings use lane 1";
  EXPECT_EQ(uint64_t{1} << 56, through(right, kRoute + 1, left)) << "lane 1, its first";
  EXPECT_EQ(ping, through(left, kRoute + 2, spare));
  EXPECT_EQ(1u, through(left, kRoute, right));
  EXPECT_EQ((Change{.received = 4, .transmitted = 4}), node.change());
  EXPECT_EQ(1, node.total(1).transmitted - 1) << "one frame and one ping";
}

TEST_F(Workers, EachJudgesTheLinksOfItsPorts) {
  EXPECT_EQ(0u, node.tables->owner(LinkIndex{left.link}));
  EXPECT_EQ(1u, node.tables->owner(LinkIndex{right.link}));
  node.run(4'000'000'000);
  for (unsigned port = 0; port < 3; ++port) node.port(port).pop_all();
  const LinkStats& own = node.tables->stats.link(LinkIndex{right.link}, 1);
  EXPECT_EQ(1u, own.flaps.get());
  EXPECT_EQ(0u, node.tables->stats.link(LinkIndex{right.link}, 0).flaps.get());
  EXPECT_FALSE(node.tables->links.find(right.link)->usable());
}

TEST_F(Workers, WhoIsCalledIsKnownToTheWorkerThatHearsIt) {
  ControlPacket call{
      .kind = SlotKind::handshake, .length = 168, .port = PortIndex{1}, .mac = right.mac, .ether_type = 0x88B5};
  call.payload[0] = 1;  // an initiation
  node.inject(call);
  EXPECT_EQ(1u, node.exchange(1, {}).size());
  Bytes initiation(168);
  initiation[0] = 1;
  const Bytes answer =
      right.ethernet_towards_node() + Header{.version_kind = 0x13, .hop_limit = 0}.bytes() + initiation;
  for (uint8_t stranger = 0; stranger < 60; ++stranger) {  // the port's ration is spent
    Bytes frame = answer;
    frame[11] = stranger;
    node.exchange(1, {frame});
  }
  node.punts();
  node.change();
  EXPECT_EQ(1, (node.exchange(1, {answer}), node.change().punted));
  node.punts();
}

TEST_F(Workers, PeersLanesHaveWindowsOfTheirOwn) {
  LinkMessage wide = link_put(left, 0);
  wide.lanes = 3;
  node.install({message(wide), message(forward_put(kRoute, left.link, right.link, kNext))});
  const auto arrives = [&](unsigned lane, uint64_t counter) {
    Header header = left.next_header();
    header.lane_counter = uint64_t{lane} << 56 | counter;
    node.exchange(0, {left.seal(header, packet(17, kRoute, pattern(20)))});
    return node.change();
  };
  for (unsigned lane = 0; lane < 3; ++lane) {
    EXPECT_EQ((Change{.received = 1, .transmitted = 1}), arrives(lane, 100)) << lane;
    EXPECT_EQ((Change{.received = 1, .replayed = 1}), arrives(lane, 100)) << lane;
  }
  EXPECT_EQ((Change{.received = 1, .bad_lane = 1}), arrives(3, 1));
  EXPECT_EQ((Change{.received = 1, .bad_lane = 1}), arrives(255, 1));
}

/// Two circuits of one session whose streams worker 1 opens: one comes by its own port, one by worker 0's.
class OneStream : public Workers {
 protected:
  void SetUp() override {
    Workers::SetUp();
    node.install({message(consume_put(kRoute, left.link, far.session, kStream, 1, 0x77, kNormal, 1)),
                  message(consume_put(kRoute + 1, right.link, far.session, kStream, 1, 0x78, kNormal, 1)),
                  message(group_put(7, kDomain)), message(destination_put("fd00:f::", 32, GroupIndex{7})),
                  message(destination_put("fd00:1::", 32, kLocalGroup))});
  }
  static Bytes inner(size_t payload = 64) {
    return ipv6({.source = "fd00:f::1", .destination = "fd00:1::1", .payload = payload});
  }
};

TEST_F(OneStream, WhatComesToAnotherWorkerIsHandedOn) {
  node.exchange(0, {left.seal(packet(17, kRoute, far.seal(kStream, inner())))});
  EXPECT_EQ(std::vector<Bytes>{inner()}, node.tun_read());
  EXPECT_EQ((Change{.received = 1, .taken_over = 1, .delivered_tun = 1, .handed_over = 1}), node.change());
  EXPECT_EQ(1, node.total(0).handed_over);
  EXPECT_EQ(1, node.total(1).taken_over);
  EXPECT_EQ(1, node.total(1).delivered_tun);
}

TEST_F(OneStream, ACopyIsDeliveredOnceWhicheverWayItCame) {
  const Bytes first = far.seal(kStream, inner(10)), second = far.seal(kStream, inner(20));
  node.port(0).push(left.seal(packet(17, kRoute, first)));
  node.port(1).push(right.seal(packet(17, kRoute + 1, first)));
  node.worker_turn();
  node.exchange(1, {right.seal(packet(17, kRoute + 1, second))});
  node.exchange(0, {left.seal(packet(17, kRoute, second))});
  const auto got = node.tun_read();
  EXPECT_EQ((std::vector<Bytes>{inner(10), inner(20)}), got);
  EXPECT_EQ((Change{.received = 4, .taken_over = 2, .delivered_tun = 2, .handed_over = 2, .session_replayed = 2}),
            node.change());
}

TEST_F(OneStream, AWorkerThatDoesNotKeepUpCostsPacketsByName) {
  node.quiescence().offline(1);
  constexpr int kFrames = dataplane::WorkerChannel::kHanded + 100;
  for (int i = 0; i < kFrames; ++i) {
    node.port(0).push(left.seal(packet(17, kRoute, far.seal(kStream, inner()))));
    if (i % 64 == 63) node.worker(0).turn(node.now_ns());
  }
  node.worker(0).turn(node.now_ns());
  EXPECT_EQ(100, node.total(0).worker_full);
  for (int turn = 0; turn < 20; ++turn) node.worker_turn(), node.tun_read();
  EXPECT_EQ(kFrames - 100, node.total(1).taken_over);
}

TEST_F(OneStream, ALinkThatGoesMeanwhileIsNoCrash) {
  node.port(0).push(left.seal(packet(17, kRoute, far.seal(kStream, inner()))));
  node.worker(0).turn(node.now_ns());
  node.install({message(delete_of(Verb::delete_rule, kRoute)), message(delete_of(Verb::delete_link, left.link))});
  node.change();
  node.worker_turn();
  EXPECT_EQ((Change{.taken_over = 1, .unknown_link = 1}), node.change());
}

TEST_F(Workers, AControlPlanesPacketGoesToTheLinksOwner) {
  node.inject({.kind = SlotKind::link_packet, .type = 64, .length = 10, .link = LinkIndex{right.link}});
  const OpenedFrame out = only(node.exchange(2, {}), right);
  EXPECT_EQ(1u, lane(out));
  EXPECT_EQ(1, node.total(1).injected_control);
  node.change();
}

TEST_F(Workers, ALinkThatMovesToAPortOfAnotherWorkerGoesOn) {
  node.install({message(forward_put(kRoute, left.link, spare.link, kNext))});
  left.node_mac = node.port(1).port().mac();
  node.install({message(link_put(left, 1))});
  EXPECT_EQ(1u, node.tables->owner(LinkIndex{left.link}));
  EXPECT_EQ(0u, node.tables->stats.link(LinkIndex{left.link}, 0).up.get());
  EXPECT_EQ(1u, node.tables->stats.link(LinkIndex{left.link}, 1).up.get());
  const OpenedFrame out = only(node.exchange(1, {left.seal(packet(17, kRoute, pattern(10)))}), spare);
  EXPECT_EQ(1u, lane(out));
  EXPECT_EQ((Change{.received = 1, .transmitted = 1}), node.change());
}

/// Readers add up what workers tell of a member: the one that had it says nothing any more, and the next one asks.
TEST_F(Workers, ALinkThatMovesTakesItsMembersAlong) {
  node.install({message(group_put(7, kDomain, 50'000)), message(consume_put(kRoute, left.link, far.session, kStream)),
                message(member_put(7, 3, left.link, kRoute + 9, kRoute, far.session, kStream))});
  const auto answer_probe = [&](unsigned port) {
    node.worker_turn();
    for (const Bytes& bytes : node.port(port).pop_all()) {
      const auto frame = left.open(bytes);
      if (!frame || frame->type() != kPing || frame->route() != kRoute + 9) continue;
      node.pass(kMs);
      node.port(port).push(left.seal(packet(kPong, kRoute, frame->payload())));
      node.worker_turn();
      return true;
    }
    return false;
  };
  const auto rtt_ns = [&](unsigned worker) { return node.tables->stats.member(GroupIndex{7}, 3, worker).rtt_ns.get(); };
  ASSERT_TRUE(answer_probe(0));
  EXPECT_EQ(kMs, rtt_ns(0));
  left.node_mac = node.port(1).port().mac();
  node.install({message(link_put(left, 1))});
  EXPECT_EQ(0u, rtt_ns(0));
  ASSERT_TRUE(node.tables->groups.find(7)->lives[3].live) << "it goes on living";
  node.pass(1'000 * kMs);  // nobody uses it: seldom
  ASSERT_TRUE(answer_probe(1));
  EXPECT_EQ(0u, rtt_ns(0));
  EXPECT_EQ(kMs, rtt_ns(1));
  for (unsigned port = 0; port < 3; ++port) node.port(port).pop_all();
  node.change();
}

/// Its owner stays, but each worker is to write the windows of its lane: its packets pass by meanwhile, as above.
TEST(WorkersByLane, ALinkThatMovesToAPortOfLanesIsToldOfAnew) {
  Node node({.by_lane = {2}});
  LinkPeer left{1, 101, 11};
  left.node_mac = node.port(0).port().mac();
  node.install(link_installs(left, 0));
  for (int ping = 0; ping < 3; ++ping) node.port(0).push(left.ping(true, 1'000'000));
  node.worker_turn();
  const auto told = [&] {
    node.turn();
    unsigned up = 0;
    for (const InstallMessage& event : node.events())
      up += event.verb == Verb::link_state && event.as<LinkStateEvent>().up == 1;
    return up;
  };
  EXPECT_EQ(1u, told());
  node.install({message(link_put(left, 0))});
  EXPECT_EQ(0u, told()) << "nothing moved";
  node.install({message(link_put(left, 2))});
  EXPECT_EQ(1u, told());
  EXPECT_EQ(1u, node.tables->stats.link(LinkIndex{left.link}, 0).up.get());
  for (unsigned port = 0; port < 3; ++port) node.port(port).pop_all();
}

}  // namespace
}  // namespace sky::test
