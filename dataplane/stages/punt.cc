#include "dataplane/stages/punt.h"

#include <cstring>

namespace sky::dataplane {

namespace {

void push(Context& context, Slot& slot, const uint8_t* payload, size_t bytes) noexcept {
  ControlPacket& punt = context.punt;
  if (bytes > punt.payload.size()) return drop(slot, Drop::bad_size);
  punt.length = static_cast<uint16_t>(bytes);
  punt.at_ns = context.now_ns;
  std::memcpy(punt.payload.data(), payload, bytes);
  const bool taken = context.channel.takes_punts.load(std::memory_order_relaxed) || is_dead_routes(punt);
  if (!taken || !context.channel.up.producer.push(punt)) return drop(slot, Drop::punt_full);
  context.wake_main = true;
  slot.verdict = Verdict::punted;
}

}  // namespace

void punt_handshake(Context& context, PortIndex port, Slot& slot) noexcept {
  const auto& ethernet = *reinterpret_cast<const EthernetHeader*>(slot.data - sizeof(EthernetHeader));
  const std::span<const uint8_t> message(slot.data + sizeof(LinkHeader), slot.length - sizeof(LinkHeader));
  if (!context.handshakes.take(port, ethernet.source, message, context.now_ns)) return drop(slot, Drop::punt_metered);
  ControlPacket& punt = context.punt;
  punt.kind = SlotKind::handshake;
  punt.type = static_cast<uint8_t>(PacketType::handshake);
  punt.link = kNoLink;
  punt.port = port;
  punt.mac = ethernet.source;
  punt.ether_type = ethernet.ether_type.get();
  std::memcpy(punt.header.data(), slot.data, sizeof(LinkHeader));
  push(context, slot, message.data(), message.size());
}

void punt_packet(Context& context, SlotKind kind, Slot& slot) noexcept {
  if (!slot.link->lanes[context.number].worker->punts.take(context.now_ns)) return drop(slot, Drop::punt_metered);
  const PacketHeader& packet = packet_header(slot.data);
  ControlPacket& punt = context.punt;
  punt.kind = kind;
  punt.type = packet.type;
  punt.link = slot.link->index;
  punt.port = slot.link->config.load(std::memory_order_acquire)->put.port;
  punt.route = packet.route_id.get() == 0 ? kControlRoute : RouteId{packet.route_id.get()};
  punt.header = {};
  push(context, slot, packet_payload(slot.data), packet.size.get());
}

}  // namespace sky::dataplane
