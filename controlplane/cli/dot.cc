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

std::string label_of(const Json& link) {
  std::string label = link.at("name");
  if (link.contains("delay_ns")) label += "\n" + format_duration_ns(link["delay_ns"]);
  if (link.contains("capacity_bps")) label += "\n" + format_rate_bps(link["capacity_bps"]);
  return label;
}

}  // namespace

std::string dot_of(const Json& topology) {
  std::string dot = "graph skyedge {\n  node [shape=box];\n";
  unsigned number = 0;
  for (const Json& domain : topology.at("domains")) {
    const std::string label =
        fmt::format("{}, AS {}", domain.at("name").get<std::string>(), domain.at("as").get<uint32_t>());
    dot += fmt::format("  subgraph cluster_{} {{\n    label={};\n", number++, quote(label));
    for (const Json& node : domain.at("nodes")) {
      dot += fmt::format("    {}{};\n", quote(node.at("name")), node.at("role") == "host" ? " [shape=ellipse]" : "");
    }
    dot += "  }\n";
  }
  for (const Json& link : topology.at("links")) {
    dot += fmt::format("  {} -- {} [label={}];\n", quote(link.at("ends").at(0)), quote(link.at("ends").at(1)),
                       quote(label_of(link)));
  }
  return dot + "}\n";
}

}  // namespace sky::controlplane
