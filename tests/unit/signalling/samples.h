// Well-formed messages to start from.
#pragma once

#include "controlplane/core/random.h"
#include "controlplane/signalling/messages.h"

namespace sky::controlplane {

inline Ipv6Address sample_address(uint8_t number) {
  return {0xfc, number};
}

/// A path of so many nodes, at whose second node the message arrives.
inline Setup sample_setup(size_t nodes = 4) {
  Setup setup{.refresh = true,
              .standby = false,
              .attempt = 3,
              .hop = 1,
              .circuit = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16},
              .life_s = 3600,
              .treatment = 0x22,
              .mtu = 1437,
              .return_route = RouteId{0xdeadbeef},
              .alternate = {.link = {1, 2, 3, 4, 5, 6, 7, 8}, .route = RouteId{0xaabbccdd}},
              .stream_to_egress = 8192,
              .stream_to_ingress = 16,
              .hop_limit = 50,
              .copied = {.stream = 8224, .window = 17},
              .proof = {},
              .path = {},
              .blob = Bytes(168, 7)};
  setup.proof.fill(0x5e);
  for (size_t i = 0; i < nodes; ++i) {
    setup.path.push_back({.address = sample_address(static_cast<uint8_t>(i)),
                          .link = i == 0 ? LinkId{} : link_id("link" + std::to_string(i))});
  }
  return setup;
}

}  // namespace sky::controlplane
