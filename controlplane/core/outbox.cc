#include "controlplane/core/outbox.h"

#include <algorithm>
#include <cassert>

namespace sky::controlplane {

void set_payload(ControlPacket& packet, std::span<const uint8_t> payload) {
  assert(payload.size() <= packet.payload.size());
  packet.length = static_cast<uint16_t>(std::min(payload.size(), packet.payload.size()));
  std::copy_n(payload.begin(), packet.length, packet.payload.begin());
}

std::span<const uint8_t> payload_of(const ControlPacket& packet) {
  return std::span(packet.payload).first(std::min<size_t>(packet.length, packet.payload.size()));
}

void Outbox::send_on_link(LinkIndex link, PacketType type, std::span<const uint8_t> payload) {
  ControlPacket packet{.kind = SlotKind::link_packet, .type = to_underlying(type), .link = link};
  set_payload(packet, payload);
  send(packet);
}

}  // namespace sky::controlplane
