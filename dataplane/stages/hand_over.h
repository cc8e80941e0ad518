// From one worker to another. A link's liveness, a circuit's probes and a session's streams each belong to one worker;
// a packet that came to another one (the peer's lanes are spread over several queues, or a copied stream's circuits end
// at different workers) goes there after it was opened, and is routed there. Source: docs/architecture.md, "Workers".
#pragma once

#include "dataplane/stages/context.h"

namespace sky::dataplane {

/// Sets the verdict: handed, or a drop where that worker does not keep up.
void hand_over(Context& context, unsigned worker, Slot& slot) noexcept;
/// What other workers handed to this one, up to a burst: as it was behind `open` and settle.
void take_over(Context& context, Batch& batch) noexcept;
/// Wakes those that were handed something and may be asleep.
void wake_others(Context& context) noexcept;

}  // namespace sky::dataplane
