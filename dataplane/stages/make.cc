#include "dataplane/stages/make.h"

namespace sky::dataplane {

Slot* make_packet(Context& context, Batch& batch, Link& link, PacketType type, RouteId route, uint16_t size,
                  Counter counter) noexcept {
  context.count(counter);
  const auto port = to_underlying(link.config.load(std::memory_order_acquire)->put.port);
  rte_mbuf* mbuf = rte_pktmbuf_alloc(context.ports[port]->pool());
  if (mbuf == nullptr) {
    context.count(Drop::no_buffer);
    return nullptr;
  }
  const size_t length = kLinkOverhead + sizeof(PacketHeader) + size;
  if (sizeof(EthernetHeader) + length > rte_pktmbuf_tailroom(mbuf)) {
    context.count(Drop::too_big);
    rte_pktmbuf_free(mbuf);
    return nullptr;
  }
  Slot& slot = batch.add();
  slot = {};
  slot.mbuf = mbuf;
  slot.data = rte_pktmbuf_mtod(mbuf, uint8_t*) + sizeof(EthernetHeader);
  slot.link = &link;
  slot.length = static_cast<uint16_t>(length);
  slot.hop_limit = 64;
  slot.treatment = kControlQueue;
  packet_header(slot.data) = {static_cast<uint8_t>(type), Be32(to_underlying(route)), Be16(size)};
  return &slot;
}

}  // namespace sky::dataplane
