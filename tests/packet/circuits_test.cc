// Circuits at their ingress: probes that keep them alive or take them out of use, and groups that put flows on them.
// Two circuits of one group, over left and right; probes every 50 ms.
#include <deque>
#include <functional>
#include <map>

#include "tests/packet/crossroads.h"

namespace sky::test {
namespace {

constexpr uint64_t kMs = 1'000'000;
constexpr uint32_t kGroup = 7;
constexpr uint8_t kPing = 4, kPong = 5, kDatagram = 17;

struct Circuit {
  LinkPeer& first;
  uint32_t route;    ///< the first hop's
  uint32_t consume;  ///< ours, of the opposite direction
  bool answers = true;
  uint64_t delay_ms = 0;  ///< of an answer
  unsigned pings = 0;
  std::deque<std::pair<uint64_t, Bytes>> late = {};  ///< answers, and when they come
  std::vector<Bytes> datagrams = {};
};

class Circuits : public Crossroads {
 protected:
  void SetUp() override {
    Crossroads::SetUp();
    node.install({message(group_put(kGroup, kDomain, 50'000)),
                  message(destination_put("fd00:f::", 32, GroupIndex{kGroup})),
                  message(destination_put("10.9.0.0", 16, GroupIndex{kGroup}))});
    start_ns_ = node.now_ns();
  }
  void TearDown() override {
    for (int turns = 0; turns < 3; ++turns) settle();
    Crossroads::TearDown();
  }
  /// As a batch's two messages.
  std::vector<InstallMessage> installs(const Circuit& circuit, uint8_t slot, uint8_t weight = 1) {
    MemberMessage member =
        member_put(kGroup, slot, circuit.first.link, circuit.route, circuit.consume, far.session, slot, weight);
    member.circuit = {static_cast<uint8_t>(circuit.route)};
    return {message(consume_put(circuit.consume, circuit.first.link, far.session, slot)), message(member)};
  }
  void add(const Circuit& circuit, uint8_t slot, uint8_t weight = 1) { node.install(installs(circuit, slot, weight)); }
  /// What the node sent, given to the far end: pings are answered, datagrams kept. The links are kept alive.
  void serve() {
    for (Circuit* circuit : {&one, &two}) {
      LinkPeer& peer = circuit->first;
      for (const Bytes& bytes : node.port(port_of(peer)).pop_all()) {
        const auto frame = peer.open(bytes);
        ASSERT_TRUE(frame);
        if (frame->route() != circuit->route) continue;
        if (frame->type() == kDatagram) circuit->datagrams.push_back(far.open(frame->payload()).value().inner);
        if (frame->type() != kPing) continue;
        ++circuit->pings;
        if (circuit->answers) circuit->late.emplace_back(ms() + circuit->delay_ms, frame->payload());
      }
      for (; !circuit->late.empty() && circuit->late.front().first <= ms(); circuit->late.pop_front())
        node.port(port_of(peer)).push(peer.seal(packet(kPong, circuit->consume, circuit->late.front().second)));
    }
    node.port(2).pop_all();
  }
  void run(uint64_t for_ms) {
    for (uint64_t i = 0; i < for_ms; ++i) {
      if (ms() % 500 == 0) {
        for (LinkPeer* peer : {&left, &right, &spare}) node.port(port_of(*peer)).push(peer->ping(true, 1'000'000));
      }
      node.pass(kMs - 1'000);
      node.turn();
      serve();
    }
  }
  void settle() {
    node.worker_turn();
    serve();
  }
  void use(uint16_t flow = 1) {
    node.tun_write(ipv6({.source = "fd00:1::1", .destination = "fd00:f::1", .source_port = flow}));
  }
  uint64_t ms() const { return (node.now_ns() - start_ns_) / kMs; }
  bool live(unsigned slot) { return node.tables->groups.find(kGroup)->lives[slot].live; }
  const MemberStats& stats(unsigned slot) { return node.tables->stats.member(GroupIndex{kGroup}, slot); }
  std::vector<std::pair<unsigned, bool>> states() {
    std::vector<std::pair<unsigned, bool>> out;
    for (const InstallMessage& event : node.events()) {
      if (event.verb != Verb::member_state) continue;
      const auto state = event.as<MemberStateEvent>();
      EXPECT_EQ(GroupIndex{kGroup}, state.group);
      out.emplace_back(state.slot, state.live != 0);
    }
    return out;
  }

  Circuit one{left, 0x101, 0xa01};
  Circuit two{right, 0x202, 0xb02};

 private:
  uint64_t start_ns_ = 0;
};

using States = std::vector<std::pair<unsigned, bool>>;

// --- probes

TEST_F(Circuits, AFreshOneLivesAtOnceAndIsProbed) {
  use();
  node.turn();
  add(one, 0);
  node.worker_turn();
  EXPECT_TRUE(live(0));
  EXPECT_EQ((States{{0, true}}), states());
  const auto frame = left.open(node.port(0).pop().value());
  ASSERT_TRUE(frame);
  EXPECT_EQ(kPing, frame->type());
  EXPECT_EQ(one.route, frame->route());
  EXPECT_EQ(55, frame->header.hop_limit);
  ASSERT_EQ(16u, frame->payload().size());
  EXPECT_EQ(node.now_ns(), get(frame->payload(), 0, 8));
  EXPECT_EQ(kGroup << 3, get(frame->payload(), 8, 8));
  serve();
  run(1);
}

TEST_F(Circuits, AnsweredProbesMeasureAndKeepItLive) {
  use();
  add(one, 0);
  run(1000);
  EXPECT_TRUE(live(0));
  EXPECT_EQ(20u, one.pings);
  EXPECT_EQ(0u, stats(0).probes_lost.get());
  EXPECT_EQ(0u, stats(0).deaths.get());
  EXPECT_EQ(20u, stats(0).probes_sent.get());
  EXPECT_EQ(kMs, stats(0).rtt_ns.get()) << "a turn";
  EXPECT_EQ((States{{0, true}}), states());
}

TEST_F(Circuits, ThreeLostProbesAreItsEnd) {
  use();
  add(one, 0);
  run(501);
  states();
  one.answers = false;
  const unsigned before = one.pings;
  uint64_t waited = 0;
  for (; live(0) && waited < 1000; ++waited) run(1);
  EXPECT_EQ(before + 4, one.pings) << "three were lost; the fourth goes on asking";
  EXPECT_NEAR(200, static_cast<double>(waited), 2);
  EXPECT_EQ((States{{0, false}}), states());
  EXPECT_EQ(1u, stats(0).deaths.get());
  EXPECT_EQ(3u, stats(0).probes_lost.get());
}

TEST_F(Circuits, TwoLostProbesAreNot) {
  use();
  add(one, 0);
  for (int round = 0; round < 5; ++round) {
    one.answers = true;
    run(50);
    one.answers = false;
    run(100);
  }
  EXPECT_TRUE(live(0));
  EXPECT_EQ(0u, stats(0).deaths.get());
}

TEST_F(Circuits, ThreeAnswersInARowBringItBack) {
  use();
  add(one, 0);
  run(200);
  one.answers = false;
  run(200);
  ASSERT_FALSE(live(0));
  one.answers = true;
  run(99);
  EXPECT_FALSE(live(0));
  one.answers = false;
  run(50);
  one.answers = true;
  run(100);
  EXPECT_FALSE(live(0)) << "not in a row";
  states();
  run(52);
  EXPECT_TRUE(live(0));
  EXPECT_EQ((States{{0, true}}), states());
}

TEST_F(Circuits, ALongRoundTripIsNoDeath) {
  use();
  one.delay_ms = 700;  // fourteen intervals
  add(one, 0);
  run(3'000);
  EXPECT_EQ((States{{0, true}}), states()) << "alive from the first on";
  EXPECT_NEAR(700'000'000, static_cast<double>(stats(0).rtt_ns.get()), 2e6);
  one.answers = false;
  run(700);  // what was under way still comes
  EXPECT_TRUE(live(0));
  run(1'600);
  EXPECT_FALSE(live(0)) << "after two round trips and the multiplier's intervals";
}

TEST_F(Circuits, OneThatNeverAnswersHasASecond) {
  use();
  one.answers = false;
  add(one, 0);
  run(990);
  EXPECT_TRUE(live(0));
  run(120);
  EXPECT_FALSE(live(0));
}

TEST_F(Circuits, WhatTheRingDoesNotTakeIsToldLater) {
  use();
  while (node.channel().events.producer.push(InstallMessage{})) {
  }
  add(one, 0);
  run(10);
  InstallMessage event;
  while (node.channel().events.consumer.pop(event)) {
  }
  run(110);
  EXPECT_EQ((States{{0, true}}), states());
}

TEST_F(Circuits, AnIdleGroupIsProbedATwentiethAsOften) {
  use();
  add(one, 0);
  run(10'001);
  one.pings = 0;
  run(20'000);
  EXPECT_NEAR(20, one.pings, 1);
  use();
  one.pings = 0;
  run(1000);
  EXPECT_NEAR(20, one.pings, 1) << "at its full rate as soon as it is used";
}

TEST_F(Circuits, ForgedPongsAreRefused) {
  add(one, 0);
  add(two, 1);
  settle();
  node.turn();
  node.change();
  const auto pong = [&](uint64_t sent_ns, uint64_t asker, LinkPeer& by, uint32_t route) {
    Bytes payload;
    put(payload, sent_ns, 8);
    put(payload, asker, 8);
    send(by, packet(kPong, route, payload));
    return node.change();
  };
  const Change refused{.received = 1, .bad_control = 1};
  EXPECT_EQ(refused, pong(node.now_ns() + 1, kGroup << 3, left, one.consume)) << "sent in the future";
  EXPECT_EQ(refused, pong(1, kGroup << 3 | 1, left, one.consume)) << "of the other circuit";
  EXPECT_EQ(refused, pong(1, kGroup << 3 | 2, left, one.consume)) << "no such member";
  EXPECT_EQ(refused, pong(1, 63 << 3, left, one.consume)) << "no such group";
  EXPECT_EQ(refused, pong(1, uint64_t{64} << 3, left, one.consume)) << "past the table";
  EXPECT_EQ(refused, pong(1, (uint64_t{1} << 35 | kGroup) << 3, left, one.consume)) << "past 32 bits";
  EXPECT_EQ((Change{.received = 1, .delivered_local = 1}), pong(1, kGroup << 3, left, one.consume));
}

TEST_F(Circuits, TheFarEndTurnsAPingRound) {
  node.install({message(consume_put(kRoute, left.link, far.session, 100, 1, kNext, 0x41))});
  Bytes payload = pattern(16);
  Header header = left.next_header();
  const auto out = only(node.exchange(0, {left.seal(header, packet(kPing, kRoute, payload))}), left);
  EXPECT_EQ(packet(kPong, kNext, payload), out.inside);
  EXPECT_EQ(64, out.header.hop_limit);
  EXPECT_EQ(0x40, out.header.class_ecn);
  EXPECT_EQ((Change{.received = 1, .injected_probe = 1, .transmitted = 1, .delivered_local = 1}), node.change());
}

// --- groups

TEST_F(Circuits, AFlowKeepsItsMemberAndFlowsSpreadByWeight) {
  add(one, 0, 1);
  add(two, 1, 3);
  settle();
  std::map<unsigned, size_t> counts;
  for (int round = 0; round < 3; ++round) {
    one.datagrams.clear();
    two.datagrams.clear();
    for (uint16_t flow = 0; flow < 1000; ++flow) {
      use(flow);
      if (flow % 50 == 49) run(1);
    }
    run(1);
    EXPECT_EQ(1000u, one.datagrams.size() + two.datagrams.size());
    counts[static_cast<unsigned>(one.datagrams.size())]++;
  }
  ASSERT_EQ(1u, counts.size()) << "the same flows went elsewhere";
  EXPECT_NEAR(250, counts.begin()->first, 130) << "a quarter of 256 buckets";
}

TEST_F(Circuits, StandbysCarryOnlyWhenNoOtherLives) {
  add(one, 0, 0);
  add(two, 1, 1);
  settle();
  const auto round = [&] {
    one.datagrams.clear();
    two.datagrams.clear();
    for (uint16_t flow = 0; flow < 40; ++flow) use(flow);
    run(1);
    return std::pair{one.datagrams.size(), two.datagrams.size()};
  };
  EXPECT_EQ((std::pair<size_t, size_t>{0, 40}), round());
  two.answers = false;
  for (int i = 0; i < 300 && live(1); ++i) run(1);
  ASSERT_FALSE(live(1));
  EXPECT_EQ((std::pair<size_t, size_t>{40, 0}), round());
}

TEST_F(Circuits, AReturnDoesNotMoveLivingFlows) {
  add(one, 0, 1);
  add(two, 1, 1);
  settle();
  two.answers = false;
  for (int i = 0; i < 300; ++i) {
    for (uint16_t flow = 0; flow < 10; ++flow) use(flow);
    run(1);
  }
  ASSERT_FALSE(live(1));
  two.answers = true;
  run(300);
  ASSERT_TRUE(live(1));
  two.datagrams.clear();
  for (int i = 0; i < 20; ++i) {
    for (uint16_t flow = 0; flow < 10; ++flow) use(flow);
    run(50);
  }
  EXPECT_TRUE(two.datagrams.empty()) << "these flows were never silent for a second";
  run(1'100);
  for (uint16_t flow = 0; flow < 40; ++flow) use(flow);
  run(1);
  EXPECT_FALSE(two.datagrams.empty()) << "after a second of silence they may move";
}

TEST_F(Circuits, AFlowMovesWithoutLossWhenItsFirstLinkGoesDown) {
  add(one, 0, 1);
  add(two, 1, 0);
  run(1);
  node.port(0).push(left.ping(false, 1'000'000));
  for (int i = 0; i < 2; ++i) {
    use();
    run(1);
  }
  EXPECT_FALSE(node.tables->links.find(left.link)->usable());
  EXPECT_EQ(1u, two.datagrams.size());
  EXPECT_TRUE(live(0)) << "its probes have not failed yet";
  EXPECT_EQ(2u, one.datagrams.size() + two.datagrams.size()) << "the first left in the turn in which the news came";
}

TEST_F(Circuits, OverAParallelLinkItStaysTheSameCircuit) {
  const Circuit by_spare{spare, 0x103, 0xa03};
  MemberMessage member = installs(one, 0)[1].as<MemberMessage>();
  member.alternate_link = LinkIndex{spare.link};
  member.alternate_route = RouteId{by_spare.route};
  member.alternate_consume = RouteId{by_spare.consume};
  node.install(
      {installs(one, 0)[0], message(consume_put(by_spare.consume, spare.link, far.session, 0)), message(member)});
  run(100);
  use();
  run(1);
  ASSERT_EQ(1u, one.datagrams.size());
  const uint64_t answered = stats(0).probes_sent.get();
  states();
  node.port(0).push(left.ping(false, 1'000'000));
  node.turn();
  node.port(0).pop_all();
  ASSERT_FALSE(node.tables->links.find(left.link)->usable());
  EXPECT_TRUE(node.tables->groups.find(kGroup)->live(*node.tables->groups.find(kGroup)->view.load(), 0));
  node.port(2).pop_all();
  use();
  node.turn();
  unsigned datagrams = 0, pings = 0;
  for (int turn = 0; turn < 400; ++turn) {
    for (const Bytes& bytes : node.port(2).pop_all()) {
      const auto frame = spare.open(bytes);
      ASSERT_TRUE(frame);
      if (frame->route() != by_spare.route) continue;
      if (frame->type() == kDatagram) datagrams += far.open(frame->payload()).has_value();
      if (frame->type() != kPing) continue;
      ++pings;
      node.port(2).push(spare.seal(packet(kPong, by_spare.consume, frame->payload())));
    }
    node.port(0).pop_all();
    node.port(1).pop_all();
    if (turn % 200 == 0) node.port(2).push(spare.ping(true, 1'000'000));
    node.pass(kMs - 1'000);
    node.turn();
  }
  EXPECT_EQ(1u, datagrams);
  EXPECT_GE(pings, 7u);
  EXPECT_GT(stats(0).probes_sent.get(), answered);
  EXPECT_EQ(0u, stats(0).probes_lost.get());
  EXPECT_TRUE(live(0));
  EXPECT_TRUE(states().empty()) << "nothing happened to the circuit";
  // What neighbours tell of either way is about this member.
  std::vector<InstallMessage> events;
  node.tables->circuit_died(RouteId{by_spare.consume}, events);
  EXPECT_EQ(1u, events.size());
  EXPECT_FALSE(live(0));
}

TEST_F(Circuits, ADumpTellsOfItsLifeWhatEventsTell) {
  add(one, 0);
  run(10);
  node.port(0).push(left.ping(false, 1'000'000));
  node.turn();
  ASSERT_FALSE(node.tables->links.find(left.link)->usable());
  ASSERT_TRUE(live(0));
  InstallMessage row;
  ASSERT_TRUE(node.tables->dump(Table::members, 0, row));
  EXPECT_EQ(1, row.as<MemberMessage>().live) << "no event will say so when the link is up again";
  one.answers = false;
  for (int i = 0; i < 20 && live(0); ++i) run(500);
  ASSERT_FALSE(live(0));
  ASSERT_TRUE(node.tables->dump(Table::members, 0, row));
  EXPECT_EQ(0, row.as<MemberMessage>().live);
}

TEST_F(Circuits, APutResetsNothing) {
  add(one, 0);
  run(500);
  const uint64_t counter_before = one.datagrams.size();
  use();
  run(1);
  ASSERT_EQ(counter_before + 1, one.datagrams.size());
  states();
  one.answers = false;
  for (int i = 0; i < 300 && live(0); ++i) run(1);
  ASSERT_FALSE(live(0));
  states();
  add(one, 0);
  node.install({message(group_put(kGroup, kDomain, 50'000))});
  run(1);
  EXPECT_FALSE(live(0)) << "the same circuit is as dead as before";
  EXPECT_TRUE(states().empty());
  Circuit fresh = one;
  fresh.route = 0x303;
  fresh.consume = 0xc03;
  node.install({message(consume_put(fresh.consume, left.link, far.session, 9)), installs(fresh, 0)[1]});
  run(1);
  EXPECT_TRUE(live(0)) << "another circuit in the slot starts anew";
}

TEST_F(Circuits, WithoutALiveMemberPacketsWaitAgain) {
  use();
  add(one, 0);
  run(100);
  one.answers = false;
  for (int i = 0; i < 300 && live(0); ++i) run(1);
  node.change();
  use();
  run(1);
  EXPECT_EQ(1, node.change().held);
  one.answers = true;
  one.datagrams.clear();
  run(300);
  EXPECT_EQ(1u, one.datagrams.size());
  EXPECT_EQ(0, node.total().held);
}

TEST_F(Circuits, AMemberThatIsDeletedCarriesNothing) {
  add(one, 0);
  add(two, 1);
  settle();
  node.install(
      {message(delete_of(Verb::delete_member, kGroup, 0)), message(delete_of(Verb::delete_rule, one.consume))});
  one.pings = 0;
  for (uint16_t flow = 0; flow < 40; ++flow) use(flow);
  run(200);
  EXPECT_EQ(0u, one.pings);
  EXPECT_EQ(40u, two.datagrams.size());
}

TEST_F(Circuits, ACircuitThatMovesToAnotherSlotIsFoundThere) {
  add(one, 0);
  std::vector<InstallMessage> batch = installs(one, 1);
  batch.push_back(message(delete_of(Verb::delete_member, kGroup, 0)));
  node.install(batch);
  settle();
  std::vector<InstallMessage> events;
  node.tables->circuit_died(RouteId{one.consume}, events);
  ASSERT_EQ(1u, events.size());
  EXPECT_EQ(1, events[0].as<MemberStateEvent>().slot);
}

TEST_F(Circuits, AListOfDeadRoutesEndsOneAtOnceAndIsCounted) {
  use();  // probed at the full rate
  add(one, 0);
  settle();
  std::vector<InstallMessage> events;
  for (int times = 0; times < 2; ++times) node.tables->circuit_died(RouteId{one.consume}, events);
  node.tables->circuit_died(RouteId{0x999}, events);
  EXPECT_FALSE(live(0));
  ASSERT_EQ(1u, events.size()) << "once";
  EXPECT_EQ(0, events[0].as<MemberStateEvent>().live);
  EXPECT_EQ(1u, stats(0).deaths_by_list.get());
  EXPECT_EQ(0u, stats(0).deaths.get()) << "that word is the worker's";
  run(400);
  EXPECT_TRUE(live(0)) << "three answers bring it back";
}

}  // namespace
}  // namespace sky::test
