// Plain IP packets on their way in: destination look-up for the burst, member of the group by flow, sealed end to end
// in one pass. On entry: data[length] is the IP packet, with 77 bytes of headroom. After `next`: a Datagram ready for
// seal(). Packets without a live circuit are held (hold.h).
// In groups of mode copy, what was sealed is copied for a second circuit: `copies`, empty on entry, is then a batch of
// its own for seal().
// Cost: look-up, one flow bucket, the session's key, the packet's bytes. Source: docs/protocol.md, "End to end" and
// "Copied streams".
#pragma once

#include "dataplane/stages/context.h"

namespace sky::dataplane {

void ingress(Context& context, Batch& batch, Batch& copies) noexcept;

}  // namespace sky::dataplane
