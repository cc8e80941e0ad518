// A20 and a part of A21, on one node in one process: a neighbour that sends ten times its share, and how long after a
// link is found down the first packet leaves by its alternate.
#include <algorithm>
#include <chrono>
#include <iostream>

#include "tests/packet/crossroads.h"
#include "tests/support/soak.h"

namespace sky::soak {
namespace {

using namespace sky::test;
using std::chrono::steady_clock;

constexpr uint64_t kMs = 1'000'000;

class Neighbours : public Crossroads {
 protected:
  /// Keeps links alive; the peer of `deaf` says that it hears nothing.
  void ping_all(const LinkPeer* deaf = nullptr) {
    for (LinkPeer* peer : {&left, &right, &spare}) node.port(port_of(*peer)).push(peer->ping(peer != deaf, 1'000'000));
  }
  void take_all() {
    for (unsigned port = 0; port < 3; ++port) node.port(port).pop_all();
  }
  bool usable(const LinkPeer& peer) { return node.tables->links.find(peer.link)->usable(); }
};

// --- A20

class Greedy : public Neighbours {
 protected:
  static constexpr size_t kBytes = 1000;           // behind Ethernet
  static constexpr uint64_t kTurnNs = kMs / 10;    // at most 64 frames of each port
  static constexpr unsigned kRoom = 10;            // frames that the port takes a turn: 800 Mbit/s
  static constexpr uint32_t kShareKbit = 400'000;  // half of that
  static constexpr unsigned kGreed = 10;

  /// `left` sends ten times half of what `right`'s port takes, `spare` that half: what arrives of each, in shares.
  std::pair<double, double> contend(uint32_t limit_kbit_s, unsigned turns) {
    LinkMessage limited = link_put(left, 0);
    limited.rate_kbit_s = limit_kbit_s;
    node.install({message(limited), message(forward_put(kRoute, left.link, right.link, kNext)),
                  message(forward_put(kRoute + 1, spare.link, right.link, kNext + 1))});
    uint64_t greedy = 0, honest = 0;
    for (unsigned turn = 0; turn < turns; ++turn) {
      if (turn % 5'000 == 0) ping_all();
      for (unsigned i = 0; i < kRoom / 2 * kGreed; ++i) node.port(0).push(left.seal(packet(17, kRoute, body_)));
      for (unsigned i = 0; i < kRoom / 2; ++i) node.port(2).push(spare.seal(packet(17, kRoute + 1, body_)));
      node.pass(kTurnNs);
      node.worker_turn();
      count(kRoom, greedy, honest);
      while (node.port(0).discard() || node.port(2).discard()) continue;
    }
    for (int turn = 0; turn < 100; ++turn) {
      node.worker_turn();
      count(UINT_MAX, greedy, honest);
    }
    take_all();
    const double sent = double{kRoom / 2} * turns;
    return {static_cast<double>(greedy) / sent, static_cast<double>(honest) / sent};
  }
  void count(unsigned most, uint64_t& greedy, uint64_t& honest) {
    for (; most > 0; --most) {
      const auto bytes = node.port(1).pop();
      if (!bytes) return;
      const auto frame = right.open(*bytes);
      greedy += frame && frame->route() == kNext;
      honest += frame && frame->route() == kNext + 1;
    }
  }
  const Bytes body_ = Bytes(kBytes - 39);
};

TEST_F(Greedy, TenTimesItsShareTakesNothingOfOthers) {
  const unsigned turns = soak_size(3'000u, 300'000u);
  const auto [unlimited, starved] = contend(0, turns / 3);
  const auto [greedy, honest] = contend(kShareKbit, turns);
  std::cout << "figure: a neighbour at " << kGreed << " times its share, limited to it: the other keeps "
            << honest * 100 << " % (it itself " << greedy * 100 << " %); without a limit " << starved * 100 << " %\n";
  EXPECT_GE(honest, 0.95);
  EXPECT_NEAR(greedy, 1, 0.06);
  EXPECT_LT(starved, 0.9) << "nothing is tried here";
}

// --- A21

TEST_F(Neighbours, TheAlternateIsTakenAtOnce) {
  RuleMessage rule = forward_put(kRoute, left.link, right.link, kNext);
  rule.rule.alternate_link = LinkIndex{spare.link};
  rule.rule.alternate_route = RouteId{kNext + 1};
  node.install({message(rule)});
  const Bytes body(200);
  std::vector<double> flips_us;
  for (int flip = 0; flip < 100; ++flip) {
    while (!usable(right)) {  // held down for up to a minute
      ping_all();
      node.pass(500 * kMs);
      node.worker_turn();
      take_all();
    }
    ping_all(&right);
    const auto found_down = steady_clock::now();
    node.worker_turn();
    ASSERT_FALSE(usable(right));
    const auto down = steady_clock::now();
    for (int i = 0; i < 32; ++i) node.port(0).push(left.seal(packet(17, kRoute, body)));
    const auto come = steady_clock::now();
    node.worker_turn();
    const auto gone = steady_clock::now();
    unsigned by_alternate = 0;
    for (const Bytes& bytes : node.port(2).pop_all()) {
      const auto frame = spare.open(bytes);
      by_alternate += frame && frame->route() == kNext + 1;
    }
    EXPECT_EQ(by_alternate, 32u);
    flips_us.push_back(std::chrono::duration<double, std::micro>(down - found_down + (gone - come)).count());
    take_all();
  }
  std::ranges::sort(flips_us);
  std::cout << "figure: the turn that finds a link down, and the next with 32 packets by its alternate: "
            << flips_us[50] << " us median, " << flips_us[98] << " us p99\n";
  EXPECT_LE(flips_us[50], 50);
}

}  // namespace
}  // namespace sky::soak
