// The 2 KiB slot that carries a packet between a control plane and the wire, either way (docs/protocol.md,
// "Control packets"). Native byte order; the reader copies a slot out before it looks.
#pragma once

#include <array>
#include <cstdint>
#include <type_traits>

#include "dataplane/base/ids.h"
#include "dataplane/protocol/frame.h"

namespace sky {

enum class SlotKind : uint8_t {
  handshake = 1,     ///< an unsealed handshake frame: `port`, `mac`, `header`; payload follows the link header
  link_packet = 2,   ///< route ID 0 on a keyed link: `link`, `type`
  route_packet = 3,  ///< on a circuit. Up: `route` is the consume rule it arrived on. Down: sent to (`link`, `route`)
};

inline constexpr size_t kSlotBytes = 2048;

struct ControlPacket {
  SlotKind kind{};
  uint8_t type{};     ///< PacketType
  uint16_t length{};  ///< bytes of payload
  LinkIndex link{};
  PortIndex port{};
  RouteId route{};
  MacAddress mac{};  ///< up: the frame's source; down: its destination
  uint16_t ether_type{};
  std::array<uint8_t, 16> header{};  ///< handshake: the LinkHeader, as on the wire
  uint64_t at_ns{};                  ///< up: when it was received, CLOCK_MONOTONIC
  uint8_t hop_limit{};               ///< down, route_packet
  uint8_t treatment{};               ///< down, route_packet
  uint8_t pad[14]{};
  std::array<uint8_t, kSlotBytes - 64> payload{};
};
static_assert(sizeof(ControlPacket) == kSlotBytes && std::is_trivially_copyable_v<ControlPacket>);

/// A neighbour's list, for the main core of the dataplane and not for the control plane.
inline bool is_dead_routes(const ControlPacket& packet) {
  return packet.kind == SlotKind::link_packet && packet.type == to_underlying(PacketType::dead_routes);
}

}  // namespace sky
