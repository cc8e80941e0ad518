// Plain IP packets on their way in: destination look-up for the burst, member of the group by flow, sealed end to end
// in one pass. On entry: data[length] is the IP packet, with 77 bytes of headroom. After `next`: a Datagram ready for
// seal(). Packets without a live circuit are held (hold.h).
// Cost: look-up, one flow bucket, the session's key, the packet's bytes. Source: docs/protocol.md, "End to end".
#pragma once

#include "dataplane/stages/context.h"

namespace sky::dataplane {

void ingress(Context& context, Batch& batch) noexcept;

}  // namespace sky::dataplane
