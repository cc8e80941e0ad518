#include "dataplane/stages/classify.h"

#include <cstring>

#include "dataplane/stages/punt.h"

namespace sky::dataplane {

namespace {

/// A clear frame has no tag. Behind this stage its packet lies where every other one does.
void make_room_for_tag(Slot& slot) noexcept {
  std::memmove(slot.data - kTagBytes, slot.data, sizeof(LinkHeader));
  slot.data -= kTagBytes;
  slot.length = static_cast<uint16_t>(slot.length + kTagBytes);
}

/// The cheapest checks first: nothing is read beyond what the length was seen to hold.
void look(Context& context, PortIndex port, Slot& slot) noexcept {
  if (slot.mbuf->nb_segs != 1) return drop(slot, Drop::frame_chained);
  if (slot.length < sizeof(EthernetHeader) + kLinkOverhead + kMinSealedBytes) return drop(slot, Drop::frame_short);
  const auto& ethernet = *reinterpret_cast<const EthernetHeader*>(slot.data);
  if (ethernet.ether_type != context.ether_types[to_underlying(port)]) return drop(slot, Drop::not_skywire);
  slot.data += sizeof(EthernetHeader);
  slot.length = static_cast<uint16_t>(slot.length - sizeof(EthernetHeader));
  if (slot.length > context.ports[to_underlying(port)]->mtu()) return drop(slot, Drop::frame_long);

  const LinkHeader& header = link_header(slot.data);
  if (header.version_kind >> 4 != kFrameVersion) return drop(slot, Drop::bad_version);
  const FrameKind kind = kind_of(header);
  if (kind == FrameKind::handshake) return punt_handshake(context, port, slot);
  if (kind > FrameKind::clear) return drop(slot, Drop::bad_kind);
  if ((header.class_ecn & kReservedClassBits) != 0) return drop(slot, Drop::bad_reserved);

  Link* link = context.tables.links.find(header.link_index.get());
  if (link == nullptr) return drop(slot, Drop::unknown_link);
  const LinkConfig& config = *link->config.load(std::memory_order_acquire);
  if (config.put.port != port) return drop(slot, Drop::wrong_port);
  if (to_underlying(kind) > config.put.least_kind) return drop(slot, Drop::weak_kind);
  if (kind == FrameKind::header && slot.length < kLinkOverhead + kHeaderSealed) return drop(slot, Drop::frame_short);
  if (kind == FrameKind::clear) make_room_for_tag(slot);
  slot.link = link;
  slot.verdict = Verdict::next;
}

}  // namespace

void classify(Context& context, PortIndex port, Batch& batch) noexcept {
  for (Slot& slot : batch) look(context, port, slot);
}

}  // namespace sky::dataplane
