#include "dataplane/stages/control.h"

#include <cstring>

#include "dataplane/stages/punt.h"

namespace sky::dataplane {

void control(Context& context, Slot& slot) noexcept {
  const PacketHeader& packet = packet_header(slot.data);
  switch (static_cast<PacketType>(packet.type)) {
    case PacketType::transport_ping: {
      LivenessPayload ping;
      if (packet.size.get() != sizeof(ping)) return drop(slot, Drop::bad_control);
      std::memcpy(&ping, packet_payload(slot.data), sizeof(ping));
      slot.link->worn.store(ping.flags >> 4, std::memory_order_relaxed);
      if (slot.link->liveness.received(ping, context.now_ns)) context.timers_due = true;
      slot.verdict = Verdict::consumed;
      return;
    }
    case PacketType::keep_alive:
      slot.verdict = Verdict::consumed;
      return;
    case PacketType::handshake:
    case PacketType::signal:
    case PacketType::dead_routes:
      return punt_packet(context, SlotKind::link_packet, slot);
    default:
      return drop(slot, Drop::bad_type);
  }
}

}  // namespace sky::dataplane
