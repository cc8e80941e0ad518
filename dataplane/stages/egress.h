// Datagrams that end here: opened end to end in one pass, replay window of their stream moved in frame order, then
// delivered to the TUN if the inner source lies in the sending domain's prefixes and the destination in this node's.
// On entry: `rule` is the consume rule. After: every slot is delivered or dropped by name.
// Cost: the session's key, a word of the window, the packet's bytes, two look-ups, one system call.
// Source: docs/protocol.md, "End to end".
#pragma once

#include "dataplane/stages/context.h"

namespace sky::dataplane {

void egress(Context& context, Batch& batch) noexcept;

}  // namespace sky::dataplane
