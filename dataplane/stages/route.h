// What to do with an opened packet: route ID 0 is for this node's own link (control.h); another names a rule, bound to
// the link it came by. `forward` rewrites the route ID and picks the next link, the alternate where that is down.
// `consume` ends here: Datagrams go to egress, Pings are answered, Pongs and handshakes go to whom they concern.
// After `next`: `link` is the one it leaves by. Cost: one cache line of the route table, prefetched for the burst.
#pragma once

#include "dataplane/stages/context.h"

namespace sky::dataplane {

void route(Context& context, Batch& batch) noexcept;

}  // namespace sky::dataplane
