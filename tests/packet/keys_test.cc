// Epochs and chains under way: keys step on time and on bytes, receivers follow, chains replace one another, and where
// a key must stop it stops. Epochs of two seconds here.
#include <map>
#include <utility>

#include "tests/packet/crossroads.h"

namespace sky::test {
namespace {

constexpr uint64_t kMs = 1'000'000;
constexpr uint64_t kAgeNs = 2'000 * kMs;
constexpr uint64_t kHoldNs = kAgeNs / 2;
constexpr uint64_t kStepBytes = 200'000;
constexpr uint8_t kKeepAlive = 2, kSignal = 64;

dataplane::KeyPolicy policy() {
  dataplane::KeyPolicy made = dataplane::KeyPolicy::of_age(kAgeNs, 1);
  made.step_bytes = kStepBytes;
  made.stop_bytes = 2 * kStepBytes;
  return made;
}

class Keys : public Crossroads {
 protected:
  explicit Keys(const dataplane::KeyPolicy& of = policy()) : Crossroads({.link_keys = of, .session_keys = of}) {}
  void SetUp() override {
    Crossroads::SetUp();
    node.install({message(forward_put(kRoute, left.link, right.link, kNext))});
  }
  /// All links go on living; what the node sends meanwhile must open.
  void run(uint64_t for_ms, LinkPeer* deaf = nullptr) {
    for (uint64_t i = 0; i < for_ms; i += 20) {
      if (i % 500 == 0) {
        for (LinkPeer* peer : {&left, &right, &spare})
          node.port(port_of(*peer)).push(peer->ping(peer != deaf, 1'000'000));
      }
      node.pass(20 * kMs);
      node.turn();
      take();
    }
  }
  void take() {
    for (LinkPeer* peer : {&left, &right, &spare}) {
      for (const Bytes& bytes : node.port(port_of(*peer)).pop_all()) {
        const auto frame = peer->open(bytes);
        ASSERT_TRUE(frame);
        sent_epoch[peer->link] = frame->header.epoch;
      }
    }
  }
  /// What becomes of a keepalive of `left` under that step and parity.
  Change arrives(unsigned step, unsigned parity = 0) {
    const unsigned old_step = std::exchange(left.step, step);
    const unsigned old_parity = std::exchange(left.parity, parity);
    send(left, packet(kKeepAlive, 0));
    left.step = old_step;
    left.parity = old_parity;
    return node.change();
  }
  void inject(size_t bytes, LinkPeer& to) {
    node.inject({.kind = SlotKind::link_packet,
                 .type = kSignal,
                 .length = static_cast<uint16_t>(bytes),
                 .link = LinkIndex{to.link}});
    node.worker_turn();
  }
  std::vector<uint64_t> confirmed(KeyOwner owner, uint32_t index) {
    std::vector<uint64_t> out;
    for (const InstallMessage& event : node.events()) {
      if (event.verb != Verb::chain_confirmed) continue;
      const auto chain = event.as<ChainConfirmedEvent>();
      if (chain.owner == owner && chain.index == index) out.push_back(chain.key_id);
    }
    return out;
  }

  std::map<uint16_t, uint8_t> sent_epoch;  ///< [link] of the last frame
};

constexpr Change kTaken{.received = 1, .delivered_local = 1};
constexpr Change kNoKey{.received = 1, .no_key = 1};

// --- receiving

TEST_F(Keys, TwoEpochsAtATimeAndTheOlderOneForAHold) {
  EXPECT_EQ(kTaken, arrives(0));
  EXPECT_EQ(kNoKey, arrives(2));
  EXPECT_EQ(kTaken, arrives(1));
  EXPECT_EQ(kTaken, arrives(0)) << "in flight";
  node.turn();  // the main core learns that epoch 1 was heard
  node.pass(kHoldNs - kMs);
  node.turn();
  node.change();
  EXPECT_EQ(kTaken, arrives(0));
  EXPECT_EQ(kNoKey, arrives(2));
  node.pass(2 * kMs);
  for (int turns = 0; turns < 3; ++turns) node.turn();
  take();
  node.change();
  EXPECT_EQ(kNoKey, arrives(0));
  EXPECT_EQ(kTaken, arrives(1));
  EXPECT_EQ(kTaken, arrives(2));
}

TEST_F(Keys, AReplayUnderARetiredEpochFindsNoKey) {
  const Bytes captured = left.seal(packet(kKeepAlive, 0));
  EXPECT_TRUE(node.exchange(0, {captured}).empty());
  for (unsigned step = 1; step <= 4; ++step) {
    left.step = step;
    left.counter = 0;  // each epoch counts anew
    node.change();
    EXPECT_TRUE(send(left, packet(kKeepAlive, 0)).empty());
    EXPECT_EQ(kTaken, node.change()) << "epoch " << step;
    node.turn();
    node.pass(kHoldNs);
    for (int turns = 0; turns < 3; ++turns) node.turn();
    take();
  }
  node.change();
  EXPECT_TRUE(node.exchange(0, {captured}).empty());
  EXPECT_EQ(kNoKey, node.change());
}

// --- sending

TEST_F(Keys, StepsOnTime) {
  run(kAgeNs / kMs - 200);
  EXPECT_EQ(0, sent_epoch[right.link]);
  run(1'500);
  EXPECT_EQ(1, sent_epoch[right.link]);
  for (int epoch = 1; epoch < 5; ++epoch) {
    const uint64_t began_ns = node.now_ns();
    while (sent_epoch[right.link] == epoch) run(20);
    EXPECT_EQ(epoch + 1, sent_epoch[right.link]);
    EXPECT_GE(node.now_ns() - began_ns, kAgeNs - kMs * 1'000);
    EXPECT_LE(node.now_ns() - began_ns, kAgeNs + kMs * 1'060) << "its use begins with the next ping, at most";
  }
  const LinkStats& stats = node.tables->stats.link(LinkIndex{right.link});
  EXPECT_EQ(sent_epoch[right.link], stats.send_epoch.get());
  EXPECT_EQ(6u, stats.send_keys.get()) << "epochs 0 to 5";
}

TEST_F(Keys, AHundredAndFortyEpochsBothWaysLoseNothing) {
  for (left.step = 0; left.step < 140; ++left.step) {
    if (left.step > 0) left.counter = 0;
    for (uint64_t ms = 0; ms < kAgeNs / kMs; ms += 20) {
      run(20);
      ASSERT_EQ(kNext, only(send(left, packet(17, kRoute, pattern(100))), right).route()) << "epoch " << left.step;
    }
  }
  EXPECT_GE(right.from_step, 138u);
  EXPECT_EQ(0, node.total().drops());
}

TEST_F(Keys, StepsOnBytesButNoFasterThanItsPeerFollows) {
  run(100);
  const size_t frames = kStepBytes / 1'000 + 1;
  for (size_t i = 0; i < frames; ++i) inject(1'000, right);
  take();
  node.turn();
  node.turn();
  inject(10, right);
  take();
  EXPECT_EQ(0, sent_epoch[right.link]) << "a receiver has had no time to make room";
  node.pass(kHoldNs + kHoldNs / 2);
  for (LinkPeer* peer : {&left, &right, &spare}) node.port(port_of(*peer)).push(peer->ping(true, 1'000'000));
  for (int turns = 0; turns < 3; ++turns) node.turn();
  take();
  inject(10, right);
  take();
  EXPECT_EQ(1, sent_epoch[right.link]);
}

TEST_F(Keys, ALaneStopsHardAtTwiceTheBytes) {
  run(100);
  node.change();
  int64_t sent = 0, stopped = 0;
  while (stopped == 0 && sent < 10'000) {
    inject(1'000, right);
    take();
    const Change change = node.change();
    sent += change.transmitted;
    stopped += change.key_exhausted;
  }
  EXPECT_NEAR(2.0 * kStepBytes / 1'007, static_cast<double>(sent), 2);
  run(2'000);  // the key gets old enough: the next one goes on
  node.change();
  inject(1'000, right);
  take();
  EXPECT_EQ((Change{.injected_control = 1, .transmitted = 1}), node.change());
}

class WornKeys : public Keys {
 protected:
  WornKeys() : Keys(few_forgeries()) {}
  static constexpr uint64_t kMost = 1'000;
  static dataplane::KeyPolicy few_forgeries() {
    dataplane::KeyPolicy made = dataplane::KeyPolicy::of_age(120'000 * kMs, 1);
    made.hold_ns = kHoldNs;
    made.failed_tags = kMost;
    return made;
  }
  void forge(uint64_t frames) {
    for (uint64_t i = 0; i < frames; ++i) {
      Header header = left.next_header();
      header.lane_counter += 1'000'000;
      Bytes bad = left.seal(header, packet(17, kRoute, pattern(60)));
      bad.back() ^= 1;
      node.port(0).push(bad);
      if (i % 64 == 63) node.worker_turn();
    }
    node.worker_turn();
  }
  /// The flags of the node's next ping on `left`.
  unsigned asks() {
    take();
    node.pass(1'000 * kMs);
    for (LinkPeer* peer : {&left, &right, &spare}) node.port(port_of(*peer)).push(peer->ping(true, 1'000'000));
    node.turn();
    unsigned flags = 0xff;
    for (const Bytes& bytes : node.port(0).pop_all()) {
      const auto frame = left.open(bytes);
      EXPECT_TRUE(frame);
      if (frame->type() == 8) flags = frame->payload()[0];
    }
    take();
    return flags;
  }
};

TEST_F(WornKeys, ForgedFramesMakeTheReceiverAskForTheNextKeyAndLoseNothing) {
  forge(kMost - 1);
  EXPECT_EQ(1u, asks()) << "I hear you, and no more";
  forge(1);
  EXPECT_EQ(0x11u, asks()) << "the key of slot 0";
  node.change();
  EXPECT_EQ(1u, node.exchange(0, {left.seal(packet(17, kRoute, pattern(60)))}).size()) << "which is still good";
  left.step = 1;  // the peer steps
  EXPECT_EQ(1u, node.exchange(0, {left.seal(packet(17, kRoute, pattern(60)))}).size());
  EXPECT_EQ((Change{.received = 2, .transmitted = 2}), node.change());
  run(kHoldNs / kMs + 100);
  EXPECT_EQ(1u, asks()) << "the worn one is gone";
  EXPECT_TRUE(node.tables->links.find(left.link)->usable());
}

TEST_F(WornKeys, ASenderThatIsAskedStepsOnceAndNoFasterThanItsPeerFollows) {
  run(100);
  const auto ask = [&](unsigned slots) { node.port(1).push(right.ping(true, 1'000'000, 1, 0, slots)); };
  ask(1u << 1);
  node.turn();
  run(5'000);
  EXPECT_EQ(0, sent_epoch[right.link]) << "asked for another key than the one in use";
  ask(1u << 0);
  node.turn();
  node.turn();
  inject(10, right);
  take();
  EXPECT_EQ(1, sent_epoch[right.link]);
  for (int i = 0; i < 200; ++i) {
    ask(1u << 0);
    node.pass(20 * kMs);
    node.turn();
    take();
  }
  EXPECT_EQ(1, sent_epoch[right.link]) << "that key is gone already";
  EXPECT_EQ(0, node.total().drops());
}

TEST_F(Keys, APeerThatDoesNotHearIsNotLeftBehind) {
  run(100);
  run(5'000, &right);
  EXPECT_EQ(0, sent_epoch[right.link]) << "a step that nobody hears would lose the peer";
  EXPECT_LE(1, sent_epoch[left.link]);
}

class HeadlessKeys : public Keys {
 protected:
  HeadlessKeys() : Keys(short_lived()) {}
  static dataplane::KeyPolicy short_lived() {
    dataplane::KeyPolicy made = policy();
    made.headless_ns = 60'000 * kMs;
    return made;
  }
};

TEST_F(HeadlessKeys, WithoutAnyHandshakeSendingEndsAtLast) {
  // A minute here, a day in life; the receive side goes on.
  for (uint32_t epoch = 0; epoch < 40; ++epoch) {
    for (LinkPeer* peer : {&left, &right, &spare}) peer->step = epoch;
    run(2'000);
  }
  node.change();
  inject(10, right);
  EXPECT_EQ((Change{.injected_control = 1, .no_send_key = 1}), node.change());
}

// --- new chains

struct Renewal {
  Secret towards = secret_of(900), from = secret_of(901);
  std::vector<InstallMessage> installs(KeyOwner owner, uint32_t index, unsigned parity, bool wait) const {
    KeyChainMessage sending = chain_put(owner, index, Direction::send, parity, 5'000, from);
    sending.wait_for_peer = wait ? 1 : 0;
    return {message(chain_put(owner, index, Direction::receive, parity, 5'000, towards)), message(sending)};
  }
};

TEST_F(Keys, AChainThatWaitsForItsPeer) {
  run(100);
  node.events();
  const Renewal renewal;
  node.install(renewal.installs(KeyOwner::link, left.link, 1, true));
  run(40);
  EXPECT_EQ(0x00, sent_epoch[left.link] & 0x80);
  inject(10, left);
  take();
  EXPECT_EQ(0x00, sent_epoch[left.link] & 0x80) << "the peer was not heard under it";

  const Bytes late = left.seal(packet(kKeepAlive, 0));
  LinkPeer old = left;
  left = LinkPeer(left.link, left.peer_index, 450);
  left.node_mac = old.node_mac;
  left.mac = old.mac;
  left.parity = 1;
  ASSERT_EQ(renewal.towards, left.towards_secret);
  node.change();
  send(left, packet(kKeepAlive, 0));
  EXPECT_EQ(kTaken, node.change());
  node.main_turn();
  EXPECT_EQ((std::vector<uint64_t>{5'000}), confirmed(KeyOwner::link, left.link));
  inject(10, left);
  take();
  EXPECT_EQ(0x80, sent_epoch[left.link]);
  node.change();
  node.exchange(0, {late});
  EXPECT_EQ(kTaken, node.change()) << "the old chain is held";
  const Bytes later = old.seal(packet(kKeepAlive, 0));
  run(kHoldNs / kMs + 100);
  node.change();
  node.exchange(0, {later});
  EXPECT_EQ(kNoKey, node.change());
}

TEST_F(Keys, AChainThatDoesNotWaitIsUsedAtOnce) {
  node.install(Renewal{}.installs(KeyOwner::link, left.link, 1, false));
  left = LinkPeer(left.link, left.peer_index, 450);
  left.node_mac = node.port(0).port().mac();
  left.parity = 1;
  inject(10, left);
  take();
  EXPECT_EQ(0x80, sent_epoch[left.link]);
}

TEST_F(Keys, APeerThatLostItsStateTakesTheSameParityAgain) {
  run(100);
  node.install(Renewal{}.installs(KeyOwner::link, left.link, 0, false));
  left = LinkPeer(left.link, left.peer_index, 450);
  left.node_mac = node.port(0).port().mac();
  for (int turns = 0; turns < 3; ++turns) node.turn();
  node.change();
  EXPECT_EQ(kTaken, arrives(0));
  inject(10, left);
  take();
  EXPECT_EQ(0x00, sent_epoch[left.link]);
  EXPECT_EQ((Change{.injected_control = 1, .transmitted = 1}), node.change());
}

TEST_F(Keys, AChainIsInstalledOnceInItsLife) {
  const auto again = node.try_install(link_installs(left, 0));
  ASSERT_FALSE(again);
  EXPECT_EQ(InstallError::key_seen_before, again.error().error);
  EXPECT_EQ(1u, again.error().index);
  EXPECT_EQ(kTaken, arrives(0)) << "nothing was changed";
}

TEST_F(Keys, AChainOutlivesTheLinkItWasInstalledFor) {
  LinkPeer fresh = left;
  fresh.link = 40;
  const std::vector<InstallMessage> installs = link_installs(left, 0);
  auto chain = installs[1].as<KeyChainMessage>();
  node.install({message(link_put(fresh, 0))});
  chain.index = fresh.link;
  EXPECT_FALSE(node.try_install({message(chain)})) << "another index";

  node.install({message(delete_of(Verb::delete_rule, kRoute)), message(delete_of(Verb::delete_link, left.link))});
  for (int turns = 0; turns < 3; ++turns) node.turn();
  const auto again = node.try_install(installs);
  ASSERT_FALSE(again) << "the same link anew";
  EXPECT_EQ(InstallError::key_seen_before, again.error().error);
  chain.key_id = 77;
  EXPECT_FALSE(node.try_install({message(chain), message(delete_of(Verb::delete_rule, 0x999))}));
  EXPECT_TRUE(node.try_install({message(chain)})) << "what was refused with its batch was not installed";
}

// --- sessions

TEST_F(Keys, SessionsStepAndFollowToo) {
  node.install({message(consume_put(0x901, left.link, far.session, 0)), message(group_put(7, kDomain)),
                message(member_put(7, 0, left.link, kNext, 0x901, far.session, 0)),
                message(destination_put("fd00:f::", 32, GroupIndex{7})),
                message(destination_put("fd00:1::", 32, kLocalGroup))});
  node.turn();
  node.port(0).pop_all();
  const Bytes inward = ipv6({.source = "fd00:f::1", .destination = "fd00:1::1"});
  const Bytes outward = ipv6({.source = "fd00:1::1", .destination = "fd00:f::1"});
  unsigned last_epoch = 0;
  uint32_t steps = 0;
  for (int i = 0; i < 400; ++i) {
    if (i % 25 == 0) {
      for (LinkPeer* peer : {&left, &right, &spare}) node.port(port_of(*peer)).push(peer->ping(true, 1'000'000));
    }
    if (i % 100 == 99) far.counters.clear();
    if (i % 100 == 99) ++far.step;
    node.port(0).push(left.seal(packet(17, 0x901, far.seal(0, inward))));
    node.tun_write(outward);
    node.pass(20 * kMs);
    node.turn();
    ASSERT_EQ(std::vector<Bytes>{inward}, node.tun_read()) << i;
    unsigned arrived = 0;
    for (const Bytes& bytes : node.port(0).pop_all()) {
      const auto frame = left.open(bytes);
      ASSERT_TRUE(frame);
      if (frame->type() != 17) continue;
      const auto opened = far.open(frame->payload());
      ASSERT_TRUE(opened) << i;
      EXPECT_EQ(outward, opened->inner);
      if (opened->epoch != last_epoch) ++steps;
      last_epoch = opened->epoch;
      ++arrived;
    }
    ASSERT_EQ(1u, arrived) << i;
    node.port(1).pop_all();
    node.port(2).pop_all();
  }
  EXPECT_NEAR(4, steps, 1);
}

TEST_F(Keys, AStreamsWindowGoesWithItsLastRuleAndTheKeysItGuarded) {
  const auto window = [&] { return node.tables->sessions.find(far.session)->windows(5); };
  const auto put = [&](uint32_t route) { node.install({message(consume_put(route, left.link, far.session, 5))}); };
  const auto erase = [&](uint32_t route) { node.install({message(delete_of(Verb::delete_rule, route))}); };
  uint64_t key_id = 70;
  const auto renew = [&] {
    node.install({message(
        chain_put(KeyOwner::session, far.session, Direction::receive, far.parity, ++key_id, far.towards_secret))});
    for (int turns = 0; turns < 5; ++turns) node.turn();
  };
  put(0x901);
  put(0x902);
  const auto* first = window();
  ASSERT_NE(nullptr, first);
  erase(0x901);
  renew();
  EXPECT_EQ(first, window()) << "a rule still names it";
  erase(0x902);
  for (int turns = 0; turns < 5; ++turns) node.turn();
  EXPECT_EQ(first, window()) << "under the key that stands old frames would come in again";
  put(0x903);
  erase(0x903);
  put(0x903);
  renew();
  EXPECT_EQ(first, window()) << "named again";
  put(0x903);
  erase(0x903);
  for (int turns = 0; turns < 5; ++turns) node.turn();
  EXPECT_EQ(first, window()) << "the key that was put while it was named";
  renew();
  EXPECT_EQ(nullptr, window());
}

TEST_F(Keys, ASessionsStreamStopsHardToo) {
  SessionPeer mute{6, 66};  // never heard: no step
  node.install(session_installs(mute, kDomain));
  node.install({message(consume_put(0x901, left.link, 6, 0)), message(group_put(7, kDomain)),
                message(member_put(7, 0, left.link, kNext, 0x901, 6, 0)),
                message(destination_put("fd00:f::", 32, GroupIndex{7}))});
  node.turn();
  take();
  node.change();
  const Bytes inner = ipv6({.source = "fd00:1::1", .destination = "fd00:f::1", .payload = 1'000});
  Change sum;
  while (sum.key_exhausted == 0 && sum.transmitted < 10'000) {
    node.tun_write(inner);
    node.pass(20'000);
    node.worker_turn();
    take();
    sum += node.change();
  }
  // Link and session have the same limit here, and a frame is longer than the packet in it.
  EXPECT_NEAR(2.0 * kStepBytes / 1'103, static_cast<double>(sum.transmitted), 2);
}

TEST_F(Keys, WithoutASessionKeyNothingGoesOut) {
  SessionPeer keyless{6, 66};
  node.install({message(session_put(keyless, kDomain)), message(consume_put(0x901, left.link, 6, 0)),
                message(group_put(7, kDomain)), message(member_put(7, 0, left.link, kNext, 0x901, 6, 0)),
                message(destination_put("fd00:f::", 32, GroupIndex{7}))});
  node.turn();
  take();
  node.change();
  node.tun_write(ipv6({.source = "fd00:1::1", .destination = "fd00:f::1"}));
  node.pass(20'000);
  node.worker_turn();
  EXPECT_EQ((Change{.injected_tun = 1, .no_send_key = 1}), node.change());
}

// --- more than a turn of the main core ticks

TEST(ManyKeys, EachHasItsTurn) {
  constexpr unsigned kLinks = 2 * dataplane::Tables::kMostTicked + 100;
  NodeConfig config{.ports = 1, .ring_frames = 4096};
  config.capacities.links = 4096;
  Node node(config);
  std::vector<LinkPeer> peers;
  std::vector<InstallMessage> installs;
  for (uint16_t i = 1; i <= kLinks; ++i) {
    LinkPeer& peer = peers.emplace_back(i, static_cast<uint16_t>(5000 + i), i);
    peer.node_mac = node.port(0).port().mac();
    std::ranges::copy(link_installs(peer, 0), std::back_inserter(installs));
  }
  node.install(installs);
  node.events();
  for (LinkPeer& peer : peers) node.port(0).push(peer.seal(packet(kKeepAlive, 0)));
  node.change();
  do node.worker_turn();
  while (node.change().received != 0);

  std::vector<unsigned> confirmed(kLinks + 1);
  const auto turn = [&] {
    node.main_turn();
    unsigned now = 0;
    for (const InstallMessage& event : node.events()) {
      if (event.verb != Verb::chain_confirmed) continue;
      ++confirmed[event.as<ChainConfirmedEvent>().index];
      ++now;
    }
    return now;
  };
  std::vector<unsigned> each_turn;
  for (int turns = 0; turns < 4; ++turns) each_turn.push_back(turn());
  EXPECT_EQ(kLinks, std::ranges::count(confirmed, 1u)) << "each of them once";
  for (const unsigned now : each_turn) EXPECT_LE(now, dataplane::Tables::kMostTicked);
  node.port(0).pop_all();
}

}  // namespace
}  // namespace sky::test
