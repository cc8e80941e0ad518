// All that can be checked before a process starts, for `skyctl check` and for the daemons: each
// file by itself, a router.yaml against the topology.yaml it names, and the secret keys beside it.
// Needs neither root nor DPDK.
#pragma once

#include <expected>
#include <optional>
#include <span>
#include <string>

#include "controlplane/topology/topology.h"
#include "dataplane/base/config.h"
#include "dataplane/base/config_error.h"
#include "dataplane/base/key_file.h"

namespace sky::controlplane {

struct CheckOptions {
  bool is_template = false;  ///< keys may be absent, in topology.yaml and beside router.yaml
};

/// Recognises each file's sort by its keys (`node`: router, `domains`: topology) and reports
/// everything that is wrong with it and with the files it names; a file that is named twice is
/// reported once.
ConfigErrors check_files(std::span<const std::string> paths, CheckOptions options = {});

/// The two files against each other. `identity` is the public half of the router's own key, absent
/// when unknown.
ConfigErrors check_router_against_topology(const RouterConfig& router, const Topology& topology,
                                           const std::optional<PublicKey>& identity);

/// What a control plane starts from.
struct Configuration {
  RouterConfig router;
  Topology topology;
  SecretKey identity;
  NodeIndex self{};
};
std::expected<Configuration, ConfigErrors> load_configuration(const std::string& router_path);

}  // namespace sky::controlplane
