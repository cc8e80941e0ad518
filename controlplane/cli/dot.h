// A topology, as the API shows it, as a picture: Graphviz's language, one box a domain.
#pragma once

#include <string>

#include "controlplane/cli/client.h"

namespace sky::controlplane {

/// Throws Json::exception where it has another shape.
std::string dot_of(const Json& topology);

}  // namespace sky::controlplane
