#include "controlplane/cli/dot.h"

#include <fmt/format.h>

#include "dataplane/base/units.h"

namespace sky::controlplane {
namespace {

std::string quote(const std::string& text) {
  std::string quoted = "\"";
  for (const char letter : text) {
    if (letter == '"' || letter == '\\') quoted += '\\';
    quoted += letter == '\n' ? "\\n" : std::string(1, letter);
  }
  return quoted + "\"";
}

std::string label_of(const TopologyLink& link) {
  std::string label = link.name;
  if (link.delay_ns > 0) label += "\n" + format_duration_ns(link.delay_ns);
  if (link.capacity_bps > 0) label += "\n" + format_rate_bps(link.capacity_bps);
  return label;
}

}  // namespace

std::string dot_of(const Topology& topology) {
  std::string dot = "graph skyedge {\n  node [shape=box];\n";
  for (size_t i = 0; i < topology.domains.size(); ++i) {
    const TopologyDomain& domain = topology.domains[i];
    dot += fmt::format("  subgraph cluster_{} {{\n    label={};\n", i,
                       quote(fmt::format("{}, AS {}", domain.name, domain.as_number)));
    for (const NodeIndex index : domain.nodes) {
      const TopologyNode& node = topology.at(index);
      dot += fmt::format("    {}{};\n", quote(node.name), node.role == Role::host ? " [shape=ellipse]" : "");
    }
    dot += "  }\n";
  }
  for (const TopologyLink& link : topology.links) {
    dot += fmt::format("  {} -- {} [label={}];\n", quote(topology.at(link.ends[0]).name),
                       quote(topology.at(link.ends[1]).name), quote(label_of(link)));
  }
  return dot + "}\n";
}

}  // namespace sky::controlplane
