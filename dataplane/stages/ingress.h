// Plain IP packets on their way in: destination look-up for the burst, member of the group by flow, sealed end to end
// in one pass. On entry: data[length] is the IP packet, with 77 bytes of headroom. After `next`: a Datagram ready for
// seal(). Packets without a live circuit wait in their group (held) for at most a second.
// Cost: look-up, one flow bucket, the session's key, the packet's bytes. Source: docs/protocol.md, "End to end".
#pragma once

#include "dataplane/stages/context.h"

namespace sky::dataplane {

void ingress(Context& context, Batch& batch) noexcept;

/// Moves the packets that wait in the group into the empty `batch` for ingress(), in order, or drops them when they
/// waited too long; returns whether they still wait.
bool release_held(Context& context, Group& group, Batch& batch) noexcept;

}  // namespace sky::dataplane
