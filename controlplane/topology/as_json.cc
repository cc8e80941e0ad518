#include "controlplane/topology/as_json.h"

#include "dataplane/base/address.h"

namespace sky::controlplane {

using Json = nlohmann::ordered_json;

namespace {

Json texts_of(std::span<const Prefix> prefixes) {
  Json texts = Json::array();
  for (const Prefix& prefix : prefixes) texts.push_back(to_string(prefix));
  return texts;
}

Json node_of(const Topology& topology, NodeIndex index) {
  const TopologyNode& node = topology.at(index);
  return {{"name", node.name},
          {"role", node.role == Role::host ? "host" : "router"},
          {"prefixes", texts_of(topology.prefixes_of(index))}};
}

Json link_of(const Topology& topology, const TopologyLink& link) {
  Json row{{"name", link.name},
           {"ends", {topology.at(link.ends[0]).name, topology.at(link.ends[1]).name}},
           {"cost", link.cost}};
  if (link.delay_ns > 0) row["delay_ns"] = link.delay_ns;
  if (link.capacity_bps > 0) row["capacity_bps"] = link.capacity_bps;
  for (const RiskIndex risk : link.risks) row["risks"].push_back(topology.risks[to_underlying(risk)]);
  return row;
}

}  // namespace

Json as_json(const Topology& topology) {
  Json all{{"domains", Json::array()}, {"links", Json::array()}};
  for (const TopologyDomain& domain : topology.domains) {
    Json row{{"name", domain.name},
             {"as", domain.as_number},
             {"prefixes", texts_of(domain.prefixes)},
             {"nodes", Json::array()}};
    for (const NodeIndex node : domain.nodes) row["nodes"].push_back(node_of(topology, node));
    all["domains"].push_back(std::move(row));
  }
  for (const TopologyLink& link : topology.links) all["links"].push_back(link_of(topology, link));
  return all;
}

}  // namespace sky::controlplane
