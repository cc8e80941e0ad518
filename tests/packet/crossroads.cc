#include "tests/packet/crossroads.h"

namespace sky::test {

void add_link(Node& node, LinkPeer& peer, unsigned port) {
  peer.node_mac = node.port(port).port().mac();
  node.install(link_installs(peer, port));
}

void bring_up(Node& node, std::initializer_list<std::pair<LinkPeer*, unsigned>> peers_and_ports) {
  for (const auto& [peer, port] : peers_and_ports) {
    for (int ping = 0; ping < 3; ++ping) node.port(port).push(peer->ping(true, 1'000'000));
  }
  node.turn();
  for (const auto& [peer, port] : peers_and_ports) {
    node.port(port).pop_all();
    EXPECT_TRUE(node.tables->links.find(peer->link)->usable()) << "link " << peer->link;
  }
}

void Crossroads::SetUp() {
  for (LinkPeer* peer : {&left, &right, &spare}) add_link(node, *peer, port_of(*peer));
  node.install(session_installs(far, kDomain));
  bring_up(node, {{&left, 0}, {&right, 1}, {&spare, 2}});
  node.events();
  EXPECT_EQ((Change{.received = 9, .injected_probe = 3, .transmitted = 3, .delivered_local = 9}), node.change());
}

void Crossroads::TearDown() {
  node.expect_at_rest();
  seen_by_all_tests() += node.total();
}

Change& seen_by_all_tests() {
  static Change sum;
  return sum;
}

OpenedFrame Crossroads::only(const std::vector<Bytes>& frames, LinkPeer& to) {
  EXPECT_EQ(1u, frames.size());
  if (frames.size() != 1) return {{}, Bytes(14)};
  auto opened = to.open(frames.front());
  EXPECT_TRUE(opened.has_value()) << "not a frame for link " << to.link;
  return opened.value_or(OpenedFrame{{}, Bytes(14)});
}

}  // namespace sky::test
