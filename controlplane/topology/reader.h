// topology.yaml: the network in one file, the same for all nodes.
// On entry: a file from an operator, at most 16 MiB. After: a Topology whose names, keys, addresses
// and AS numbers are unique, whose prefixes do not overlap between domains and whose links end at
// known nodes; or all errors at once. Cost: a few hundred bytes a node and a link. Reference:
// docs/operations.md; conf/topology.yaml shows every key.
#pragma once

#include <expected>
#include <string>
#include <string_view>

#include "controlplane/topology/topology.h"
#include "dataplane/base/config_error.h"
#include "dataplane/base/yaml.h"

namespace sky::controlplane {

inline constexpr yaml::Budget kTopologyBudget{.bytes = 16 << 20};

struct TopologyReadOptions {
  bool keys_required = true;  ///< false: a template, whose keys are filled in later
};

std::expected<Topology, ConfigErrors> read_topology(const std::string& path, TopologyReadOptions options = {});

/// The same for a text; `file` stands in errors.
std::expected<Topology, ConfigErrors> parse_topology(std::string_view text, const std::string& file,
                                                     TopologyReadOptions options = {});

/// The same for a tree that yaml::load gave under the report's file name; none: the report says why.
std::expected<Topology, ConfigErrors> interpret_topology(const std::optional<yaml::Node>& tree, Report& report,
                                                         TopologyReadOptions options);

}  // namespace sky::controlplane
