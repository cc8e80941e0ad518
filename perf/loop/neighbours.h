// The node of forward and ingress, at the sizes a router has by default, and its neighbours.
#pragma once

#include <algorithm>
#include <iterator>
#include <vector>

#include "tests/support/installs.h"
#include "tests/support/node.h"

namespace sky::perf {

inline const test::NodeConfig kNode{.ports = 2,
                                    .ring_frames = 4096,
                                    .capacities = {.ports = 2,
                                                   .links = 256,
                                                   .sessions = 4096,
                                                   .rules = 1 << 20,
                                                   .groups = 1024,
                                                   .destinations = 4096,
                                                   .laboratory = true},
                                    .hugepages = true};

/// Of links that are up and keyed in both directions.
struct Neighbours {
  uint16_t first;  ///< link
  unsigned count;
  unsigned port;
  FrameKind kind = FrameKind::frame;  ///< that protects what goes through them either way
  Suite suite = Suite::aes_256_gcm;
  uint16_t mtu = 1500;
};

/// Frames that wait at the ports are taken away; returns how many.
inline unsigned discard_all(test::Node& node) {
  unsigned frames = 0;
  for (unsigned port = 0; port < node.ports(); ++port) frames += node.port(port).discard();
  return frames;
}

inline std::vector<test::LinkPeer> add_neighbours(test::Node& node, const Neighbours& wanted) {
  constexpr unsigned kMostTurns = 10'000;
  constexpr unsigned kAtOnce = 512;  // of which all pings find room
  std::vector<test::LinkPeer> peers;
  for (unsigned done = 0; done < wanted.count; done += kAtOnce) {
    std::vector<InstallMessage> installs;
    const unsigned count = std::min(kAtOnce, wanted.count - done);
    for (unsigned i = 0; i < count; ++i) {
      const auto link = static_cast<uint16_t>(wanted.first + done + i);
      test::LinkPeer& peer = peers.emplace_back(link, static_cast<uint16_t>(100 + link), link, wanted.suite);
      peer.node_mac = node.port(wanted.port).port().mac();
      peer.kind = wanted.kind;
      auto its = test::link_installs(peer, wanted.port);
      auto put = its.front().as<LinkMessage>();
      put.mtu = wanted.mtu;
      its.front() = InstallMessage::of(put);
      std::ranges::copy(its, std::back_inserter(installs));
    }
    node.install(installs);
    for (unsigned ping = 0; ping < 3 * count; ++ping)
      node.port(wanted.port).push(peers[done + ping % count].ping(true, 1'000'000));
    const auto is_up = [&](const test::LinkPeer& peer) { return node.tables->links_up.test(LinkIndex{peer.link}); };
    // A walk over all links takes many turns; who is not up after so many has no case that would work.
    for (unsigned turns = 0; turns < kMostTurns && !std::all_of(peers.begin() + done, peers.end(), is_up); ++turns) {
      node.pass(1);
      node.worker_turn();
      discard_all(node);
    }
  }
  return peers;
}

inline test::LinkPeer add_neighbour(test::Node& node, uint16_t link, unsigned port) {
  return std::move(add_neighbours(node, {.first = link, .count = 1, .port = port}).front());
}

/// The first pings and probes leave; from here on time stands still and no timer comes due.
inline void settle_down(test::Node& node) {
  node.turn();
  node.worker_turn();
  discard_all(node);
}

}  // namespace sky::perf
