// The node of forward and ingress, at the sizes a router has by default, and its neighbours.
#pragma once

#include "tests/support/installs.h"
#include "tests/support/node.h"

namespace sky::perf {

inline const test::NodeConfig kNode{
    .ports = 2,
    .ring_frames = 4096,
    .capacities = {.ports = 2, .links = 256, .sessions = 4096, .rules = 1 << 20, .groups = 1024, .destinations = 4096}};

/// A link that is up and keyed in both directions.
inline test::LinkPeer add_neighbour(test::Node& node, uint16_t link, unsigned port) {
  test::LinkPeer peer(link, static_cast<uint16_t>(100 + link), link);
  peer.node_mac = node.port(port).port().mac();
  node.install(test::link_installs(peer, port));
  for (int ping = 0; ping < 3; ++ping) node.port(port).push(peer.ping(true, 1'000'000));
  node.worker_turn();
  return peer;
}

/// Frames that wait at the ports are taken away; returns how many.
inline unsigned discard_all(test::Node& node) {
  unsigned frames = 0;
  for (unsigned port = 0; port < kNode.ports; ++port) {
    while (node.port(port).discard()) ++frames;
  }
  return frames;
}

/// The first pings and probes leave; from here on time stands still and no timer comes due.
inline void settle_down(test::Node& node) {
  node.turn();
  node.worker_turn();
  discard_all(node);
}

}  // namespace sky::perf
