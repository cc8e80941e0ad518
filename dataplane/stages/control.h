// Packets on route ID 0, between the two ends of a link: liveness ends here, the rest is the control plane's.
#pragma once

#include "dataplane/stages/context.h"

namespace sky::dataplane {

/// Sets the slot's verdict: consumed, punted or drop.
void control(Context& context, Slot& slot) noexcept;

}  // namespace sky::dataplane
