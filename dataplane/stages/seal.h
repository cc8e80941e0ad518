// Seals a burst for the links it leaves by: Ethernet and link header written, packet and padding encrypted in one pass.
// On entry: `link`, `hop_limit`, `treatment` are set, data[length] is the carrier payload with the packet in place,
// and there is room for the Ethernet header before and the padding after. After: the mbuf is a whole frame.
// Cost: a key (16 lines), the lane's counter, the frame's bytes. Source: docs/protocol.md, "Frame".
#pragma once

#include "dataplane/stages/context.h"

namespace sky::dataplane {

void seal(Context& context, Batch& batch) noexcept;

}  // namespace sky::dataplane
