// Packets of a group that has no live circuit yet: at most 64 wait, for at most a second, and the control plane is told
// of the miss, so that it sets a circuit up. They leave in their order through ingress(), which looks everything up
// anew: what they waited for may have been replaced or deleted.
#pragma once

#include "dataplane/stages/context.h"

namespace sky::dataplane {

/// Keeps the plain IP packet of the slot; the verdict is `held`, or a drop where too many wait.
void hold(Context& context, Group& group, Slot& slot) noexcept;

/// Moves packets that need not wait any longer into the empty `batch` for ingress(), or drops them when they waited too
/// long. True when `waiting` is empty now.
bool release(Context& context, HeldPackets& waiting, Batch& batch) noexcept;

}  // namespace sky::dataplane
