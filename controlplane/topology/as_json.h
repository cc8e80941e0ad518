// A topology as the API shows it and skyctl draws it: domains with their nodes, and links. Units stand in the keys;
// what was not told is left out.
#pragma once

#include <nlohmann/json.hpp>

#include "controlplane/topology/topology.h"

namespace sky::controlplane {

nlohmann::ordered_json as_json(const Topology& topology);

}  // namespace sky::controlplane
