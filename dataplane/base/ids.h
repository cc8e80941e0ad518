// The strong types that name things on both sides of the contract. Each is an index or an opaque
// word, never arithmetic: convert with to_underlying.
#pragma once

#include <array>
#include <cstdint>
#include <utility>

namespace sky {

enum class RouteId : uint32_t {};    ///< label, allocated by the node that receives it; low bits index the route table
enum class LinkIndex : uint16_t {};  ///< index in this node's link table; what a peer writes into its frame headers
enum class PortIndex : uint16_t {};  ///< index in this node's port table, in the order of router.yaml
enum class SessionIndex : uint32_t {};  ///< index in this node's session table
enum class GroupIndex : uint32_t {};    ///< index in this node's group table

inline constexpr RouteId kControlRoute{0};  ///< for the two ends of a link only
inline constexpr LinkIndex kNoLink{0xffff};
inline constexpr PortIndex kNoPort{0xffff};
inline constexpr SessionIndex kNoSession{0xffffffff};

using CircuitId = std::array<uint8_t, 16>;    ///< random, chosen by the ingress, the same at every hop
using PublicKey = std::array<uint8_t, 32>;    ///< Ed25519
using Ipv6Address = std::array<uint8_t, 16>;  ///< also IPv4-mapped where a function says so
using MacAddress = std::array<uint8_t, 6>;

/// An AEAD, as a bit of a mask; where both ends have several, the lowest counts. All have keys of 32 bytes, nonces of
/// 12 and tags of 16.
enum class Suite : uint8_t { aes_256_gcm = 1, chacha20_poly1305 = 2 };
using Suites = uint8_t;
inline constexpr Suites kAllSuites = 3;

/// What a frame is: the low four bits of its first byte (dataplane/protocol/frame.h). Of the three that carry packets
/// the lower one protects more.
enum class FrameKind : uint8_t {
  frame = 0,   ///< all of packet and padding is sealed
  header = 1,  ///< the first kHeaderSealed bytes of a Datagram are, the rest travels as it is
  clear = 2,   ///< no tag, no counter: laboratories alone
  handshake = 3,
  hello = 4
};

enum class Family : uint8_t { ipv4 = 4, ipv6 = 6 };
/// What becomes of packets while no circuit is up yet (up to 64 are held for a round trip first).
enum class UntilUp : uint8_t { drop = 0, ip = 1 };

using std::to_underlying;

}  // namespace sky
