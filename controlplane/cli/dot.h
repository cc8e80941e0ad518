// A topology as a picture: Graphviz's language, one box a domain.
#pragma once

#include <string>

#include "controlplane/topology/topology.h"

namespace sky::controlplane {

std::string dot_of(const Topology& topology);

}  // namespace sky::controlplane
