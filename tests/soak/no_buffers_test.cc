// A16: the peer of one port stops taking frames while another floods. Every buffer of the pool ends up in the queue
// that nobody empties; the worker goes on, what it cannot make is counted, and with the peer back all is as before.
#include <chrono>
#include <iostream>

#include "tests/packet/crossroads.h"
#include "tests/support/soak.h"

namespace sky::soak {
namespace {

using namespace sky::test;
using std::chrono::steady_clock;

class NoBuffers : public Crossroads {
 protected:
  NoBuffers() : Crossroads({.ring_frames = 1 << 15}) {}

  void SetUp() override {
    Crossroads::SetUp();
    node.install({message(forward_put(kRoute, left.link, right.link, kNext))});
    node.change();
    for (unsigned port = 0; port < 3; ++port) free_at_start_.push_back(node.port(port).buffers_free());
  }
  /// A burst into the left port as far as its pool has buffers. Returns how many frames went in.
  unsigned offer(unsigned frames) {
    unsigned taken = 0;
    // One stays free for the far end itself, which takes its frames from the same pool.
    for (; taken < frames && node.port(0).buffers_free() > 1; ++taken)
      node.port(0).push(left.seal(packet(17, kRoute, Bytes(100))));
    return taken;
  }
  /// All frames that came out at the right, in bytes enough to be those that pass.
  uint64_t take_forwarded() {
    uint64_t taken = 0;
    for (unsigned port = 0; port < 3; ++port) {
      while (auto frame = node.port(port).pop()) taken += port == 1 && frame->size() == 14 + 32 + 107;
    }
    return taken;
  }

  std::vector<unsigned> free_at_start_;
};

TEST_F(NoBuffers, ThePeerStopsAndComesBack) {
  const double seconds = soak_size(2.0, 60.0);
  uint64_t offered = 0, turns = 0, now_ns = node.now_ns();
  const auto start = steady_clock::now();
  const uint64_t loops_before = node.tables->stats.worker(0).counters[to_underlying(Counter::loops)].get();
  while (steady_clock::now() - start < std::chrono::duration<double>(seconds)) {
    offered += offer(64);
    // What the node itself wants to send meanwhile.
    node.inject({.kind = SlotKind::link_packet, .type = 64, .length = 10, .link = LinkIndex{left.link}});
    node.worker_turn();
    ++turns;
  }
  EXPECT_EQ(node.now_ns(), now_ns);
  EXPECT_LE(node.port(0).buffers_free(), 1u) << "the pool is not exhausted: nothing is tried here";
  const Change during = node.change();
  EXPECT_GT(during.no_buffer, 0);
  EXPECT_EQ(node.tables->stats.worker(0).counters[to_underlying(Counter::loops)].get() - loops_before, turns)
      << "the worker's loop";
  EXPECT_EQ(during.received, static_cast<int64_t>(offered));

  // The peer is back: within 100 ms of the node's time every frame passes again.
  const uint64_t held = take_forwarded();
  EXPECT_EQ(held, offered);
  node.pass(100'000'000);
  const uint64_t frames = soak_size(uint64_t{100'000}, uint64_t{100'000'000});
  uint64_t passed = 0, sent = 0;
  while (sent < frames) {
    sent += offer(64);
    node.worker_turn();
    passed += take_forwarded();
  }
  EXPECT_EQ(passed, sent);
  EXPECT_EQ(node.change().no_buffer, 0);
  node.worker_turn();
  take_forwarded();
  for (unsigned port = 0; port < 3; ++port) EXPECT_EQ(node.port(port).buffers_free(), free_at_start_[port]) << port;
  std::cout << "figure: pool of " << node.port(0).buffers() << " buffers held for " << seconds << " s, "
            << during.no_buffer << " no_buffer in " << turns << " turns, then " << passed << " of " << sent
            << " frames\n";
}

}  // namespace
}  // namespace sky::soak
