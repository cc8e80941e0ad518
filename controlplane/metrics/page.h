// docs/metrics.md, made of the exporter's own list.
#pragma once

#include <string>

namespace sky::controlplane {

std::string metrics_page();

}  // namespace sky::controlplane
