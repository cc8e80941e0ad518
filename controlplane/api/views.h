// What the API shows, as JSON: the core's snapshot joined with the counters. Pure functions; units stand in the keys.
// Source: docs/operations.md, "The API".
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "controlplane/core/snapshot.h"
#include "controlplane/install/counters.h"
#include "dataplane/base/config.h"

namespace sky::controlplane {

using Json = nlohmann::ordered_json;

struct ViewContext {
  const Snapshot& snapshot;
  const RouterConfig& router;
  const Counters* counters = nullptr;  ///< null while no dataplane is attached
  std::string dataplane_error;         ///< why it is not
  std::string kernel_error;            ///< what the kernel refused, empty when it took all
  std::string metrics_error{};         ///< why metrics are not served where they should be, empty when they are
  uint64_t setups_sent = 0;            ///< as ingress, in this control plane's life
  uint64_t now_ns = 0;
};

/// health, links, paths, circuits, groups, sessions, ports, workers, counters, drops or destinations; nothing for
/// another word.
std::optional<Json> view(std::string_view what, const ViewContext& context);

}  // namespace sky::controlplane
