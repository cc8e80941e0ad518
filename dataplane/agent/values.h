// Is one message of a batch in itself possible: known verb, indices inside their tables, fields within their ranges?
// What a field may hold stands in dataplane/protocol/install.h; what does not exist yet (copy groups, `until_up: ip`)
// is refused here, so that nothing is accepted and then not done. Pure; a few comparisons.
#pragma once

#include "dataplane/protocol/install.h"
#include "dataplane/tables/interface.h"

namespace sky::dataplane {

/// Of a watch, which belongs to no batch.
InstallError check_watch(const WatchMessage& watch, const Capacities& capacities);
InstallError check_value(const InstallMessage& message, const Capacities& capacities);

}  // namespace sky::dataplane
