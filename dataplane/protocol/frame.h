// The bytes of a frame (docs/protocol.md, "Frame"): carrier header | link header 16 | tag 16 | packet | padding.
// Plain wire structs without padding; integers big-endian. Nothing here has behaviour beyond packing bits.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "dataplane/base/endian.h"
#include "dataplane/base/ids.h"

namespace sky {

inline constexpr uint16_t kDefaultEtherType = 0x88B5;
inline constexpr uint8_t kFrameVersion = 1;

struct EthernetHeader {
  MacAddress destination;
  MacAddress source;
  Be16 ether_type;
};
static_assert(sizeof(EthernetHeader) == 14);

/// The associated data of the link AEAD, rewritten and sealed anew at each hop.
struct LinkHeader {
  uint8_t version_kind;  ///< version (high four bits), FrameKind (low four)
  uint8_t hop_limit;     ///< one less at each hop, dropped when it would leave with 0
  uint8_t epoch;         ///< chain parity (high bit), step of the chain modulo 128
  uint8_t class_ecn;     ///< class (high three bits), ECN (next two), reserved 0
  Be32 link_index;       ///< chosen by the receiver in the handshake; 0 in a first handshake message
  Be64 lane_counter;     ///< lane (high 8 bits), counter (low 56 bits)
};
static_assert(sizeof(LinkHeader) == 16);

inline constexpr uint8_t version_kind(FrameKind kind) {
  return static_cast<uint8_t>(kFrameVersion << 4 | static_cast<uint8_t>(kind));
}
inline constexpr FrameKind kind_of(const LinkHeader& header) {
  return static_cast<FrameKind>(header.version_kind & 0x0f);
}
inline constexpr uint8_t kReservedClassBits = 0x07;
inline constexpr unsigned class_of(uint8_t class_ecn) {
  return class_ecn >> 5;
}

/// Explicit Congestion Notification (RFC 3168): copied from the inner packet at the ingress, marked where a port's
/// queue grows, taken over by the inner packet at the egress (RFC 6040).
enum class Ecn : uint8_t { not_capable = 0, capable_1 = 1, capable_0 = 2, congestion = 3 };
inline constexpr Ecn ecn_of(uint8_t class_ecn) {
  return static_cast<Ecn>(class_ecn >> 3 & 3);
}

inline constexpr size_t kTagBytes = 16;
inline constexpr size_t kLinkOverhead = sizeof(LinkHeader) + kTagBytes;

/// Skywire's packet types keep their numbers and payloads; Skyedge's own start at 64.
enum class PacketType : uint8_t {
  data = 0,
  close = 1,
  keep_alive = 2,
  handshake = 3,
  ping = 4,  ///< payload: sender's timestamp (Be64), throughput (Be64); answered by the far end's worker
  pong = 5,  ///< payload: the ping's, unchanged
  error = 6,
  transport_ping = 8,  ///< route ID 0: liveness
  transport_pong = 9,
  datagram = 17,
  signal = 64,       ///< route ID 0: a message between two control planes (docs/protocol.md, "Signalling")
  dead_routes = 65,  ///< route ID 0: Be32 route IDs of the receiver whose onward direction died
};

/// A Skywire packet's header, byte for byte as Skywire has it.
struct PacketHeader {
  uint8_t type;
  Be32 route_id;
  Be16 size;  ///< bytes of payload that follow
};
static_assert(sizeof(PacketHeader) == 7);

/// The start of a Datagram's payload: epoch (2 bits), stream (14), counter (48); tag; then the sealed IP packet.
struct DatagramHeader {
  Be64 epoch_stream_counter;
  std::array<uint8_t, kTagBytes> tag;
};
static_assert(sizeof(DatagramHeader) == 24);

// How a circuit's packets travel, in one byte, its treatment: class (high three bits), least kind (bits 3 and 2: on a
// link that agreed on less they are protected so all the same), queue (low two).
enum class Queue : uint8_t { control = 0, realtime = 1, other = 2 };
inline constexpr unsigned kQueues = 3;
inline constexpr std::array<std::string_view, kQueues> kQueueNames{"control", "realtime", "other"};
inline constexpr uint8_t kTreatmentClass = 0xe0;
inline constexpr uint8_t kTreatmentQueue = 0x03;
inline constexpr uint8_t make_treatment(uint8_t queue_and_class, FrameKind least) {
  return static_cast<uint8_t>(queue_and_class | static_cast<uint8_t>(least) << 2);
}
inline constexpr FrameKind least_kind_of(uint8_t treatment) {
  return static_cast<FrameKind>(treatment >> 2 & 3);
}
inline constexpr uint8_t class_ecn_of(uint8_t treatment, Ecn ecn) {
  return static_cast<uint8_t>((treatment & kTreatmentClass) | static_cast<uint8_t>(ecn) << 3);
}
inline constexpr bool is_treatment(uint8_t value) {
  return (value & 0x10) == 0 && (value & kTreatmentQueue) != 3 && least_kind_of(value) <= FrameKind::clear;
}

inline constexpr uint16_t kStreams = 1 << 14;
inline constexpr unsigned kMaxLanes = 16;  ///< of a link, workers of a node, streams of a circuit and direction

inline constexpr uint64_t pack_stream(unsigned epoch, unsigned stream, uint64_t counter) {
  return uint64_t{epoch & 3} << 62 | uint64_t{stream & (kStreams - 1u)} << 48 | counter;
}

/// The end-to-end AEAD's associated data: never the route ID, which hops rewrite.
struct SessionAssociated {
  Be64 session_id;
  Be64 epoch;
};
static_assert(sizeof(SessionAssociated) == 16);

/// What a TransportPing carries: the sender's state, BFD's asynchronous mode in 24 bytes.
struct LivenessPayload {
  uint8_t flags;  ///< bit 0: "I hear you", an authentic frame came within the sender's detection time; the high four
                  ///< bits: which of the receiver's send keys (by slot, key_slot.h) the sender wants replaced
  uint8_t multiplier;
  Be16 reserved;
  Be32 interval_us;  ///< how often the sender means to send
  Be64 sent_ns;      ///< the sender's clock
  Be64 echoed_ns;    ///< the last `sent_ns` seen from the peer plus the time it rested here; 0 when none
};
static_assert(sizeof(LivenessPayload) == 24);

inline constexpr size_t kMinSealedBytes = 14;  ///< packet and padding on Ethernet: a frame is never shorter than 60
inline constexpr size_t kHeaderSealed = 32;    ///< of a packet in a frame of kind `header`
inline constexpr size_t kHeaderLeastSize = kHeaderSealed - sizeof(PacketHeader);  ///< `size` of a packet that may
inline constexpr size_t kMaxDeadRoutes = 256;    ///< route IDs in one dead_routes packet
inline constexpr size_t kMaxSignalBytes = 1400;  ///< payload of one signal packet

/// What a Datagram adds to an IP packet inside the carrier: 16 + 16 + 7 + 24 = 63 bytes on Ethernet.
inline constexpr size_t kDatagramOverhead = kLinkOverhead + sizeof(PacketHeader) + sizeof(DatagramHeader);
static_assert(kDatagramOverhead == 63);

}  // namespace sky
