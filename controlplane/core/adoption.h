// What a control plane that starts makes of the rows it finds: links, sessions and groups by what they are for,
// circuits by their IDs, a circuit's path by the hash of its links. What is adopted is wanted as it stands, so nothing
// is installed or signalled again; what makes no whole is left to the planner as orphans. Cost: a pass over the rows, a
// path computation for each node at the far end of a circuit.
#pragma once

#include "controlplane/core/groups.h"

namespace sky::controlplane {

struct AdoptionParts {
  Context& context;
  Links& links;
  Sessions& sessions;
  Circuits& circuits;
  Groups& groups;
};

/// Before anything was installed. Returns how many circuits were adopted.
size_t adopt(const std::vector<InstallMessage>& rows, AdoptionParts parts);

}  // namespace sky::controlplane
