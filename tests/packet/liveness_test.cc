// Links that come up and go down: pings on schedule, detection in the poll loop, holds. One link, 50 ms x 3, turns of
// one millisecond.
#include <functional>

#include "dataplane/stages/timers.h"
#include "tests/packet/crossroads.h"

namespace sky::test {
namespace {

constexpr uint64_t kMs = 1'000'000;
constexpr uint64_t kIntervalMs = 50;

struct State {
  uint64_t ms;
  bool up;
  bool operator==(const State&) const = default;
};
std::ostream& operator<<(std::ostream& out, const State& state) {
  return out << state.ms << " ms " << (state.up ? "up" : "down");
}

class LivenessTest : public testing::Test {
 protected:
  void SetUp() override {
    put_link(kIntervalMs);
    start_ns_ = node.now_ns();
  }
  void TearDown() override {
    take();
    node.expect_at_rest();
  }
  void put_link(uint64_t interval_ms) {
    LinkMessage link = link_put(peer, 0);
    link.interval_us = static_cast<uint32_t>(interval_ms * 1'000);
    auto installs = link_installs(peer, 0);
    installs[0] = message(link);
    peer.node_mac = node.port(0).port().mac();
    node.install(installs);
  }
  /// What the node sent since, opened; `pings` collects when.
  std::vector<OpenedFrame> take() {
    std::vector<OpenedFrame> out;
    for (const Bytes& frame : node.port(0).pop_all()) {
      if (auto opened = peer.open(frame)) out.push_back(*opened);
    }
    for (size_t i = 0; i < out.size(); ++i) ping_ms.push_back(ms());
    return out;
  }
  uint64_t ms() const { return (node.now_ns() - start_ns_) / kMs; }
  void ping(bool hears = true) { node.port(0).push(peer.ping(hears, interval_us)); }
  /// Turns of 1 ms; every 50 ms the peer sends what `peer_sends` makes.
  void run(
      uint64_t for_ms, const std::function<void()>& peer_sends = [] {}) {
    for (uint64_t i = 0; i < for_ms; ++i) {
      if (i % kIntervalMs == 0) peer_sends();
      node.pass(kMs - 1'000);
      node.turn();
      for (const OpenedFrame& frame : take()) last_ping = frame;
    }
  }
  void run_heard(uint64_t for_ms) {
    run(for_ms, [this] { ping(); });
  }
  std::vector<State> states() {
    std::vector<State> out;
    for (const InstallMessage& event : node.events()) {
      if (event.verb != Verb::link_state) continue;
      const auto state = event.as<LinkStateEvent>();
      EXPECT_EQ(LinkIndex{peer.link}, state.link);
      out.push_back({(state.at_ns - start_ns_) / kMs, state.up != 0});
    }
    return out;
  }
  bool up() { return node.tables->links.find(peer.link)->usable(); }
  const LinkStats& stats() { return node.tables->stats.link(LinkIndex{peer.link}); }

  Node node{{.ports = 1}};
  LinkPeer peer{1, 101, 11};
  uint32_t interval_us = kIntervalMs * 1'000;
  std::vector<uint64_t> ping_ms;
  OpenedFrame last_ping;

 private:
  uint64_t start_ns_ = 0;
};

TEST_F(LivenessTest, PingsGoOutOnSchedule) {
  run(1000);
  ASSERT_EQ(21u, ping_ms.size());
  for (size_t i = 2; i < ping_ms.size(); ++i) EXPECT_EQ(kIntervalMs, ping_ms[i] - ping_ms[i - 1]);
  EXPECT_EQ(8, last_ping.type());
  EXPECT_EQ(0u, last_ping.route());
  const Bytes payload = last_ping.payload();
  ASSERT_EQ(24u, payload.size());
  EXPECT_EQ(0x00030000u, get(payload, 0, 4)) << "hears nobody, multiplier 3";
  EXPECT_EQ(kIntervalMs * 1'000, get(payload, 4, 4));
  EXPECT_EQ(0u, get(payload, 16, 8)) << "no ping of the peer's to echo";
  const Change change = node.change();
  EXPECT_EQ((Change{.injected_probe = 21, .transmitted = 21}), change);
}

/// A clock by which whatever is timed takes 4 ms: over 5 % of a core at intervals of 50 ms, under it at 100 ms.
uint64_t slow_clock() noexcept {
  static uint64_t now_ns = 0;
  return now_ns += 4 * kMs;
}

TEST_F(LivenessTest, ATwentiethOfAWorkerAtMost) {
  run_heard(1000);
  ASSERT_TRUE(up());
  EXPECT_EQ(1u, node.tables->stats.worker(0).timer_stretch.get());
  const size_t before = ping_ms.size();
  node.worker().context().clock = slow_clock;
  run_heard(1000);
  EXPECT_EQ(2u, node.tables->stats.worker(0).timer_stretch.get());
  EXPECT_EQ(2 * kIntervalMs * 1'000, get(last_ping.payload(), 4, 4)) << "the peer is told";
  ASSERT_GE(ping_ms.size(), before + 10);
  EXPECT_EQ(2 * kIntervalMs, ping_ms.back() - ping_ms[ping_ms.size() - 2]);
  // Told first, and only then later: at no time is the gap longer than what the peer last heard of.
  uint64_t longest = 0;
  for (size_t i = before; i < ping_ms.size(); ++i) longest = std::max(longest, ping_ms[i] - ping_ms[i - 1]);
  EXPECT_EQ(2 * kIntervalMs, longest);
  node.worker().context().clock = nullptr;
  run_heard(1000);
  EXPECT_EQ(1u, node.tables->stats.worker(0).timer_stretch.get());
  EXPECT_EQ(kIntervalMs, ping_ms.back() - ping_ms[ping_ms.size() - 2]);
  EXPECT_TRUE(up());
}

TEST_F(LivenessTest, LateTurnsDoNotStretchTheInterval) {
  for (int i = 0; i < 143; ++i) {  // turns of 7 ms
    node.pass(7 * kMs - 1'000);
    node.turn();
    take();
  }
  EXPECT_NEAR(20, static_cast<double>(ping_ms.size()), 1);
}

TEST_F(LivenessTest, UpAfterThreePingsThatHearUs) {
  run(101, [this] { ping(); });
  EXPECT_EQ(1u, stats().up.get()) << "the third came with the last turn";
  EXPECT_EQ((std::vector<State>{{101, true}}), states());
  EXPECT_EQ(1u, get(last_ping.payload(), 0, 1)) << "we hear the peer";
}

TEST_F(LivenessTest, TwoAreNotEnoughAndADeafOneStartsAnew) {
  run(100, [this] { ping(); });
  run(kIntervalMs, [this] { ping(false); });
  run(100, [this] { ping(); });
  EXPECT_FALSE(up());
  run(kIntervalMs + 1, [this] { ping(); });
  EXPECT_TRUE(up());
}

TEST_F(LivenessTest, DownAfterThreeIntervalsOfSilence) {
  run_heard(501);  // the last ping came at 501 ms
  ASSERT_TRUE(up());
  states();
  run(400);
  EXPECT_EQ((std::vector<State>{{501 + 150, false}}), states());
  EXPECT_EQ(1u, stats().flaps.get());
  EXPECT_EQ(0u, stats().up.get());
  EXPECT_EQ(0u, get(last_ping.payload(), 0, 1)) << "we say that we do not hear";
}

TEST_F(LivenessTest, ThePeerLearnsAtOnceThatItIsNotHeard) {
  run_heard(501);
  run(149);
  ASSERT_TRUE(up());
  ping_ms.clear();
  run(1);
  ASSERT_FALSE(up());
  ASSERT_EQ(1u, ping_ms.size());
  EXPECT_EQ(0u, get(last_ping.payload(), 0, 1));
}

TEST_F(LivenessTest, TheSlowerSidesIntervalCounts) {
  interval_us = 200'000;
  run_heard(501);
  states();
  run(1000);
  EXPECT_EQ((std::vector<State>{{501 + 600, false}}), states());
}

TEST_F(LivenessTest, DownWhenThePeerDoesNotHearUs) {
  run_heard(501);
  states();
  run(1, [this] { ping(false); });
  EXPECT_EQ((std::vector<State>{{502, false}}), states());
}

TEST_F(LivenessTest, AnyAuthenticFrameIsHearingAndForgedOnesAreNot) {
  run_heard(501);
  states();
  run(500, [this] { node.port(0).push(peer.seal(packet(2, 0))); });
  EXPECT_TRUE(up());
  run(500, [this] {
    Bytes forged = peer.ping(true, interval_us);
    forged.back() ^= 1;
    node.port(0).push(forged);
  });
  EXPECT_FALSE(up());
}

TEST_F(LivenessTest, AnOwnStallIsNotBlamedOnThePeer) {
  run_heard(501);
  states();
  // Half a second without a turn; what came meanwhile fills more than one burst, the peer's frames last.
  for (int i = 0; i < 100; ++i) node.port(0).push(Bytes(60));
  for (int i = 0; i < 3; ++i) ping();
  node.pass(500 * kMs);
  node.turn();
  EXPECT_TRUE(up()) << "the queue was not polled empty yet";
  node.turn();
  run_heard(100);
  EXPECT_TRUE(up());
  EXPECT_TRUE(states().empty());
}

TEST_F(LivenessTest, TheHoldDoublesWithEachFault) {
  run_heard(501);
  states();
  uint64_t hold_ms = 1'000;
  for (int fault = 0; fault < 4; ++fault, hold_ms *= 2) {
    run(200);
    run_heard(hold_ms + 500);
    const auto seen = states();
    ASSERT_EQ(2u, seen.size());
    EXPECT_FALSE(seen[0].up);
    EXPECT_TRUE(seen[1].up);
    EXPECT_GE(seen[1].ms - seen[0].ms, hold_ms);
    EXPECT_LE(seen[1].ms - seen[0].ms, hold_ms + 2 * kIntervalMs);
  }
  run_heard(61'000);  // a minute without a fault
  run(200);
  run_heard(1'500);
  const auto seen = states();
  ASSERT_EQ(2u, seen.size());
  EXPECT_LE(seen[1].ms - seen[0].ms, 1'000 + 2 * kIntervalMs);
}

TEST_F(LivenessTest, MeasuresTheRoundTrip) {
  run_heard(501);
  // The peer answers 7 ms after our ping was sent, having kept it for 2.
  for (int i = 0; i < 60; ++i) {
    const uint64_t sent_ns = get(last_ping.payload(), 8, 8);
    run(kIntervalMs);
    const uint64_t now = node.now_ns() + kMs;  // when it will arrive
    node.port(0).push(peer.ping(true, interval_us, 1, now - 5 * kMs));
    EXPECT_LT(sent_ns, node.now_ns());
  }
  run(1);
  EXPECT_NEAR(5.0 * kMs, static_cast<double>(stats().rtt_ns.get()), 0.2 * kMs);
}

TEST_F(LivenessTest, EchoesThePeersClockPlusTheRest) {
  run_heard(501);
  node.port(0).push(peer.ping(true, interval_us, 1'000'000));
  node.worker_turn();
  const uint64_t arrived_ns = node.now_ns();
  ping_ms.clear();
  while (ping_ms.empty()) run(1);
  EXPECT_EQ(1'000'000 + (get(last_ping.payload(), 8, 8) - arrived_ns), get(last_ping.payload(), 16, 8));
}

TEST_F(LivenessTest, TheIntervalCanBeChangedUnderALiveLink) {
  run_heard(501);
  LinkMessage link = link_put(peer, 0);
  link.interval_us = 20'000;
  node.install({message(link)});
  run_heard(100);
  ping_ms.clear();
  run_heard(1000);
  EXPECT_NEAR(50, static_cast<double>(ping_ms.size()), 1);
  EXPECT_TRUE(up());
  for (const State& state : states()) EXPECT_TRUE(state.up);
}

TEST_F(LivenessTest, ALinkThatIsDeletedIsTendedNoMore) {
  run_heard(501);
  node.install({message(delete_of(Verb::delete_link, peer.link))});
  ping_ms.clear();
  run(500);
  EXPECT_TRUE(ping_ms.empty());
  ping();
  node.turn();
  EXPECT_EQ(1, node.change().unknown_link);
}

/// More links than a turn tends.
class ManyLinks : public testing::Test {
 protected:
  static constexpr unsigned kLinks = 2 * dataplane::kMostTended + 88;

  static NodeConfig config() {
    NodeConfig config{.ports = 1, .ring_frames = 2048};
    config.capacities.links = 1024;
    return config;
  }
  void install(uint64_t interval_ms) {
    std::vector<InstallMessage> installs;
    for (uint16_t i = 0; i < kLinks; ++i) {
      LinkPeer& peer = peers.emplace_back(i, static_cast<uint16_t>(2000 + i), i);
      peer.node_mac = node.port(0).port().mac();
      auto its = link_installs(peer, 0);
      auto link = its[0].as<LinkMessage>();
      link.interval_us = static_cast<uint32_t>(interval_ms * 1'000);
      its[0] = message(link);
      std::ranges::copy(its, std::back_inserter(installs));
    }
    ASSERT_TRUE(node.try_install(installs, false));
  }
  void turn(uint64_t after_ns) {
    node.pass(after_ns);
    node.worker_turn();
  }
  /// All sent their first ping and got one; none is due, nor was tended since.
  void install_and_hear() {
    install(1'000);
    for (unsigned turns = 0; turns <= kLinks / dataplane::kBurst + 1; ++turns) turn(1);
    for (LinkPeer& peer : peers) node.port(0).push(peer.ping(true, 1'000'000));
    do turn(1);
    while (node.change().received != 0);
  }
  uint64_t sent_by(const LinkPeer& peer) { return node.tables->stats.links(0)[peer.link].transmitted.get(); }
  bool up(const LinkPeer& peer) { return node.tables->links_up.test(LinkIndex{peer.link}); }
  /// How many were tended since their peers were heard.
  unsigned heard() {
    return static_cast<unsigned>(std::ranges::count_if(
        peers, [this](const LinkPeer& peer) { return node.tables->stats.links(0)[peer.link].heard_ns.get() != 0; }));
  }

  Node node{config()};
  std::vector<LinkPeer> peers;
};

TEST_F(ManyLinks, SendTheirFirstPingsAFullBatchATurn) {
  install(1'000);
  for (unsigned turns = 1; turns <= kLinks / dataplane::kBurst + 1; ++turns) {
    turn(1);
    const auto sent = std::ranges::count_if(peers, [this](const LinkPeer& peer) { return sent_by(peer) == 1; });
    EXPECT_EQ(std::min(turns * dataplane::kBurst, kLinks), sent);
  }
  EXPECT_EQ(kLinks, node.port(0).pop_all().size());
}

TEST_F(ManyLinks, AreWalkedAPartATurn) {
  install_and_hear();
  turn(dataplane::kMaxTimerGapNs);
  EXPECT_EQ(dataplane::kMostTended, heard());
  turn(1);
  EXPECT_EQ(2 * dataplane::kMostTended, heard());
  turn(1);
  EXPECT_EQ(kLinks, heard());
  node.port(0).pop_all();
}

uint64_t held_up() noexcept {
  static uint64_t now_ns = 0;
  return now_ns += 100 * kMs;
}

TEST_F(ManyLinks, RestNoLongerForAMachineThatStoodStill) {
  install_and_hear();
  node.worker().context().clock = held_up;
  turn(dataplane::kMaxTimerGapNs);
  EXPECT_EQ(dataplane::kMostTended, heard());
  turn(dataplane::kMostRestNs);
  EXPECT_EQ(dataplane::kMostTended, heard());
  turn(1);
  EXPECT_EQ(2 * dataplane::kMostTended, heard());
  node.port(0).pop_all();
}

/// Against what each link by itself would do: a ping an interval, up by three of the peer's, down when it is silent.
TEST_F(ManyLinks, KeepToTheirTimes) {
  constexpr uint64_t kIntervals = 20, kTurnNs = 50'000;
  install(kIntervalMs);
  const auto pass = [this](uint64_t intervals, unsigned every) {
    for (uint64_t i = 0; i < intervals; ++i) {
      for (size_t at = 0; at < peers.size(); at += every) node.port(0).push(peers[at].ping(true, kIntervalMs * 1'000));
      for (uint64_t ns = 0; ns < kIntervalMs * kMs; ns += kTurnNs) turn(kTurnNs);
      node.port(0).pop_all();
    }
  };
  pass(4, 1);
  for (const LinkPeer& peer : peers) ASSERT_TRUE(up(peer)) << peer.link;
  std::vector<uint64_t> before;
  for (const LinkPeer& peer : peers) before.push_back(sent_by(peer));
  pass(kIntervals, 1);
  for (size_t i = 0; i < peers.size(); ++i)
    EXPECT_NEAR(static_cast<double>(kIntervals), static_cast<double>(sent_by(peers[i]) - before[i]), 1.0);
  pass(2, 2);  // every second one falls silent
  for (const LinkPeer& peer : peers) ASSERT_TRUE(up(peer)) << peer.link;
  pass(1, 2);
  for (unsigned turns = 0; turns < kLinks / dataplane::kBurst; ++turns) turn(kTurnNs);
  for (size_t i = 0; i < peers.size(); ++i) EXPECT_EQ(i % 2 == 0, up(peers[i])) << peers[i].link;
  node.port(0).pop_all();
}

}  // namespace
}  // namespace sky::test
