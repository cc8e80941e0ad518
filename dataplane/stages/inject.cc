#include "dataplane/stages/inject.h"

#include <cstring>

#include "dataplane/stages/make.h"
#include "dataplane/stages/observe.h"
#include "dataplane/stages/transmit.h"

namespace sky::dataplane {

namespace {

/// Ethernet header, link header and message: not a slot of the batch, since it belongs to no link.
void send_handshake(Context& context, const ControlPacket& packet) noexcept {
  context.count(Counter::injected_control);
  const size_t port = to_underlying(packet.port);
  const size_t bytes = sizeof(LinkHeader) + packet.length;
  if (port >= context.ports.size() || bytes > context.ports[port]->mtu()) return context.count(Drop::bad_control);
  rte_mbuf* mbuf = rte_pktmbuf_alloc(context.ports[port]->pool());
  if (mbuf == nullptr) return context.count(Drop::no_buffer);
  const size_t frame_bytes = std::max(sizeof(EthernetHeader) + bytes, size_t{60});
  auto* frame = reinterpret_cast<uint8_t*>(rte_pktmbuf_append(mbuf, static_cast<uint16_t>(frame_bytes)));
  const EthernetHeader ethernet{packet.mac, context.ports[port]->mac(), Be16(packet.ether_type)};
  std::memset(frame, 0, frame_bytes);
  std::memcpy(frame, &ethernet, sizeof(ethernet));
  std::memcpy(frame + sizeof(ethernet), packet.header.data(), sizeof(LinkHeader));
  std::memcpy(frame + sizeof(ethernet) + sizeof(LinkHeader), packet.payload.data(), packet.length);
  context.handshakes.sent(packet.port, packet.mac, {packet.payload.data(), packet.length}, context.now_ns);
  if (context.watch != nullptr) [[unlikely]]
    observe_handshake(context, packet.port, mbuf);
  queue_frame(context, static_cast<uint16_t>(port), kControlQueue, mbuf);
}

void send_packet(Context& context, const ControlPacket& packet, Batch& batch) noexcept {
  Link* link = context.tables.links.find(to_underlying(packet.link));
  if (link == nullptr) {
    context.count(Counter::injected_control);
    return context.count(Drop::unknown_link);
  }
  const bool on_route = packet.kind == SlotKind::route_packet;
  if (on_route && !is_treatment(packet.treatment)) {
    context.count(Counter::injected_control);
    return context.count(Drop::bad_control);
  }
  Slot* slot = make_packet(context, batch, *link, PacketType{packet.type}, on_route ? packet.route : kControlRoute,
                           packet.length, Counter::injected_control);
  if (slot == nullptr) return;
  std::memcpy(packet_payload(slot->data), packet.payload.data(), packet.length);
  if (!on_route) return;
  slot->hop_limit = packet.hop_limit;
  slot->treatment = packet.treatment;
}

}  // namespace

bool inject(Context& context, Batch& batch) noexcept {
  bool any = false;
  ControlPacket& packet = context.injected;
  while (!batch.full() && context.channel.down.consumer.pop(packet)) {
    any = true;
    if (packet.length > packet.payload.size()) {
      context.count(Counter::injected_control);
      context.count(Drop::bad_control);
    } else if (packet.kind == SlotKind::handshake) {
      send_handshake(context, packet);
    } else {
      send_packet(context, packet, batch);
    }
  }
  return any;
}

}  // namespace sky::dataplane
