// The node that most packet tests use: three links (left, right, spare) on three ports, up and keyed, and one session
// (far) of domain 64500. After each test every buffer must be home and the accounting equation exact.
#pragma once

#include <gtest/gtest.h>

#include "tests/support/installs.h"
#include "tests/support/node.h"

namespace sky::test {

inline constexpr uint32_t kDomain = 64500;
inline constexpr uint32_t kRoute = 0xabc00123;  ///< a route of the node's own
inline constexpr uint32_t kNext = 0x5a5a5a5a;   ///< a route of a neighbour's

/// The peer's three pings that a fresh link waits for, one turn; what the node sends meanwhile is taken away.
void bring_up(Node& node, std::initializer_list<std::pair<LinkPeer*, unsigned>> peers_and_ports);
/// Installs link and keys on a port; the peer learns the node's MAC address.
void add_link(Node& node, LinkPeer& peer, unsigned port);

/// What the workers of all tests so far counted; gauges as they were at the end.
Change& seen_by_all_tests();

class Crossroads : public testing::Test {
 protected:
  explicit Crossroads(NodeConfig config = {}) : node(std::move(config)) {}
  void SetUp() override;
  void TearDown() override;

  /// One frame by `from`, one turn: the frames that left.
  std::vector<Bytes> send(LinkPeer& from, const Bytes& packet) {
    return node.exchange(port_of(from), {from.seal(packet)});
  }
  /// Expects that exactly one frame came out, for `to`, and opens it.
  OpenedFrame only(const std::vector<Bytes>& frames, LinkPeer& to);
  unsigned port_of(const LinkPeer& peer) const { return peer.link - 1u; }

  Node node;
  LinkPeer left{1, 101, 11}, right{2, 102, 12}, spare{3, 103, 13};
  SessionPeer far{5, 55};
};

}  // namespace sky::test
