#include "controlplane/topology/check.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>

#include "controlplane/topology/reader.h"
#include "dataplane/base/key_text.h"
#include "dataplane/base/privileges.h"
#include "dataplane/base/yaml.h"

namespace sky::controlplane {
namespace {

using TopologyResult = std::expected<Topology, ConfigErrors>;

/// A key file's fault, told at the line of router.yaml that names it.
void report_key_file(Report& report, Mark mark, std::string key, const Error& error) {
  report.add(mark, std::move(key), fmt::format("a file that is refused ({})", error.message), "a secret key");
}

void check_links(const RouterConfig& router, const Topology& topology, NodeIndex self, Report& report) {
  std::set<std::string> missing;
  for (const EdgeIndex link : topology.at(self).links) missing.insert(topology.at(link).name);
  const std::vector<std::string> of_self(missing.begin(), missing.end());
  for (const LinkConfig& link : router.links) {
    if (missing.erase(link.name) == 1 || report.full()) continue;
    const bool known = topology.find_link(link.name).has_value();
    report.add(link.mark, "links." + link.name, known ? "a link of other nodes" : "a link unknown to " + topology.file,
               fmt::format("a link that ends at {}", router.node.name), nearest(link.name, of_self));
  }
  for (const std::string& name : missing) {
    report.add(router.links_mark, "links", "no link " + name,
               fmt::format("every link of {} in {}", router.node.name, topology.file));
  }
}

void check_nodes(const char* key, const std::vector<MarkedName>& named, const RouterConfig& router,
                 const Topology& topology, Report& report) {
  std::vector<std::string> names;
  for (const TopologyNode& node : topology.nodes) names.push_back(node.name);
  for (const MarkedName& each : named) {
    const bool itself = each.name == router.node.name;
    if (topology.find_node(each.name) && !itself) continue;
    report.add(each.mark, key, itself ? "this node itself" : quote(each.name), "another node of " + topology.file,
               itself ? "" : nearest(each.name, names));
  }
}

/// The users that router.yaml names are those of the machine it is for.
void check_users(const RouterConfig& router, Report& report) {
  const auto check = [&](const char* key, const UserName& user) {
    if (user_id(user)) return;
    report.add(*user.mark, key, quote(user.name), "a user of this machine");
  };
  check("users.control", router.users.control);
  check("users.dataplane", router.users.dataplane);
}

/// Reads the key files that router.yaml names; the identity only is of use afterwards.
std::optional<SecretKey> read_keys(const RouterConfig& router, Report& report) {
  for (const LinkConfig& link : router.links) {
    if (!link.psk_file) continue;
    const auto psk = read_secret_key(*link.psk_file);
    if (!psk) report_key_file(report, link.psk_mark, fmt::format("links.{}.psk", link.name), psk.error());
  }
  auto identity = read_secret_key(router.identity_file);
  if (identity) return std::move(*identity);
  report_key_file(report, router.identity_mark, "identity", identity.error());
  return std::nullopt;
}

/// The same for all spellings of a path.
std::string one_name_of(const std::string& path) {
  std::error_code ignored;
  return std::filesystem::weakly_canonical(path, ignored).string();
}

class Checker {
 public:
  explicit Checker(CheckOptions options) : options_(options) {}

  /// The keys that only one sort of file has tell which it is.
  void check(const std::string& path) {
    Report report(path);
    const auto tree = yaml::load(kTopologyBudget, report);
    if (!tree) return append(report.take());
    const auto has = [&](std::string_view key) {
      return std::ranges::find(tree->entries, key, &yaml::Entry::key) != tree->entries.end();
    };
    if (has("domains")) {
      topology(path, tree, report);
    } else if (has("node") || has("ports") || has("identity")) {
      router(read_router(path));  // again, within its own, smaller budget
    } else {
      report.add(tree->mark, "file", yaml::describe(*tree) + " without `node` or `domains`",
                 "a router.yaml or topology.yaml");
      append(report.take());
    }
  }

  ConfigErrors take() { return std::move(errors_); }

 private:
  /// Each topology is read and reported once, however often it is named.
  const TopologyResult& topology(const std::string& path) {
    const auto known = topologies_.find(one_name_of(path));
    if (known != topologies_.end()) return known->second;
    Report report(path);
    return topology(path, yaml::load(kTopologyBudget, report), report);
  }

  const TopologyResult& topology(const std::string& path, const std::optional<yaml::Node>& tree, Report& report) {
    const auto [entry, fresh] = topologies_.try_emplace(one_name_of(path));
    if (fresh) {
      entry->second = interpret_topology(tree, report, {.keys_required = !options_.is_template});
      if (!entry->second) append(entry->second.error());
    }
    return entry->second;
  }

  void router(const std::expected<RouterConfig, ConfigErrors>& router) {
    if (!router) return append(router.error());
    Report report(router->file);
    const auto identity = options_.is_template ? std::nullopt : read_keys(*router, report);
    if (!options_.is_template) check_users(*router, report);
    append(report.take());
    const auto& network = topology(router->topology_file);
    if (!network) return;
    const auto key = identity ? std::optional(public_key_of(*identity)) : std::nullopt;
    append(check_router_against_topology(*router, *network, key));
  }

  void append(const ConfigErrors& errors) { errors_.insert(errors_.end(), errors.begin(), errors.end()); }

  const CheckOptions options_;
  ConfigErrors errors_;
  std::map<std::string, TopologyResult> topologies_;
};

}  // namespace

ConfigErrors check_router_against_topology(const RouterConfig& router, const Topology& topology,
                                           const std::optional<PublicKey>& identity) {
  Report report(router.file);
  const auto self = topology.find_node(router.node.name);
  if (!self) {
    std::vector<std::string> names;
    for (const TopologyNode& node : topology.nodes) names.push_back(node.name);
    report.add(router.node.mark, "node", quote(router.node.name), "a node of " + topology.file,
               nearest(router.node.name, names));
    return report.take();
  }
  if (identity && *identity != topology.at(*self).key) {
    report.add(
        router.identity_mark, "identity", "the public key " + format_key(*identity),
        fmt::format("{}, the key of {} in {}", format_key(topology.at(*self).key), router.node.name, topology.file));
  }
  check_links(router, topology, *self, report);
  check_nodes("circuits.keep", router.circuits.keep, router, topology, report);
  check_nodes("circuits.copy.to", router.circuits.copy.to, router, topology, report);
  return report.take();
}

ConfigErrors check_files(std::span<const std::string> paths, CheckOptions options) {
  Checker checker(options);
  for (const std::string& path : paths) checker.check(path);
  return checker.take();
}

std::expected<Configuration, ConfigErrors> load_configuration(const std::string& router_path) {
  auto router = read_router(router_path);
  if (!router) return std::unexpected(router.error());
  Report report(router_path);
  auto identity = read_keys(*router, report);
  if (!report.empty()) return std::unexpected(report.take());
  auto topology = read_topology(router->topology_file);
  if (!topology) return std::unexpected(topology.error());
  auto errors = check_router_against_topology(*router, *topology, public_key_of(*identity));
  if (!errors.empty()) return std::unexpected(std::move(errors));
  const NodeIndex self = *topology->find_node(router->node.name);
  return Configuration{std::move(*router), std::move(*topology), std::move(*identity), self};
}

}  // namespace sky::controlplane
