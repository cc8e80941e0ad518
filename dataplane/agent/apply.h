// Applies a batch that was checked: destinations into the copy of the map that no packet sees, then puts in the order
// of their dependencies, the map's change of copies, deletes in the reverse order (dataplane/tables/interface.h). No
// packet meets an object whose dependencies are absent.
#pragma once

#include <expected>

#include "dataplane/agent/check.h"
#include "dataplane/agent/references.h"
#include "dataplane/tables/interface.h"

namespace sky::dataplane {

/// Fails with table_full where the destination map has no room, and nothing has happened then. Keeps `references` true.
std::expected<void, Refusal> apply(Messages messages, const Plan& plan, const TableView& view, Applier& applier,
                                   References& references);

}  // namespace sky::dataplane
