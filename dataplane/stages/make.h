// Packets that start in this node: a fresh buffer with headroom for everything in front.
#pragma once

#include "dataplane/stages/context.h"

namespace sky::dataplane {

/// Adds a slot to the batch, `link` to leave by, its packet header written and room for `size` bytes of payload; counts
/// it under `counter`. nullptr, and the drop counted, when the pool is empty or no buffer takes so much. The batch must
/// have room.
Slot* make_packet(Context& context, Batch& batch, Link& link, PacketType type, RouteId route, uint16_t size,
                  Counter counter) noexcept;

}  // namespace sky::dataplane
