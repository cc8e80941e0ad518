// HandshakeRations: how many bare handshake frames a worker hands to the control plane, which takes microseconds for
// each and can be asked by anybody. Who fills one ration takes nothing from the others:
//
//   called    from an address that this node called within 2 min (a neighbour's, as configured or as it had it last):
//             one ration for each
//   first     any other initiation without mac2, and what is no handshake message; one ration per port
//   returned  any other initiation with mac2, response, cookie: what a sender has who got an answer of this node's or
//             was called by broadcast; one ration per port
//
// In the last two each source has a ration of its own before it takes of its port's, by a keyed hash: a sender who does
// not forge its address leaves the port's ration to others. Nothing is verified here: who claims mac2 falsely competes
// with those that have it, and the control plane finds out.
//
// Fixed memory, about 90 kB and 50 bytes a port. Worker that owns the ports. Source: docs/protocol.md, "Frame".
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "dataplane/base/ids.h"
#include "dataplane/base/ration.h"
#include "dataplane/protocol/frame.h"

namespace sky::dataplane {

class HandshakeRations {
 public:
  static constexpr Rate kOfSource{20, 20};  ///< called or not
  static constexpr Rate kOfPort{500, 50};   ///< first and returned, each
  static constexpr size_t kSources = 1024;  ///< places in each of the three tables

  HandshakeRations(size_t ports, uint32_t seed);

  /// This node sends `message` to `to`: an initiation makes that address a called one.
  void sent(PortIndex port, const MacAddress& to, std::span<const uint8_t> message, uint64_t now_ns) noexcept;
  /// A message that came from `from`; false where it is above its ration.
  [[nodiscard]] bool take(PortIndex port, const MacAddress& from, std::span<const uint8_t> message,
                          uint64_t now_ns) noexcept;

 private:
  struct Called {
    PortIndex port{};
    MacAddress address{};
    uint64_t until_ns = 0;
    Ration ration{kOfSource};
  };
  struct Port {
    Ration first{kOfPort};
    Ration returned{kOfPort};
  };

  size_t place_of(PortIndex port, const MacAddress& address) const noexcept;

  uint32_t seed_;
  std::vector<Called> called_;    ///< [kSources]; of two in one place the one called last
  std::vector<Ration> first_;     ///< [kSources]
  std::vector<Ration> returned_;  ///< [kSources]
  std::vector<Port> ports_;       ///< [PortIndex]
};

}  // namespace sky::dataplane
