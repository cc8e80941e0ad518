// Hands a packet to the control plane through the main core: copied into the worker's channel, so that buffers never
// leave the worker. Full rings drop by name.
#pragma once

#include "dataplane/stages/context.h"

namespace sky::dataplane {

/// An unsealed handshake frame that arrived on `port`.
void punt_handshake(Context& context, PortIndex port, Slot& slot) noexcept;
/// A packet that was opened: on route ID 0, or one that ends here. The verdict is set.
void punt_packet(Context& context, SlotKind kind, Slot& slot) noexcept;

}  // namespace sky::dataplane
