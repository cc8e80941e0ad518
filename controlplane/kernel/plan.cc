#include "controlplane/kernel/plan.h"

#include <algorithm>
#include <set>

#include "dataplane/protocol/frame.h"

namespace sky::controlplane {
namespace {

constexpr uint32_t kLeastMtu = 1280;  // RFC 8200, section 5
constexpr Prefix kSkywirePrefix{{0xfc}, 8, Family::ipv6};

std::optional<IpAddress> first_of(const std::vector<IpAddress>& addresses, Family family) {
  const auto found = std::ranges::find(addresses, family, &IpAddress::family);
  if (found == addresses.end()) return {};
  return *found;
}

}  // namespace

uint32_t interface_mtu(uint32_t circuit_mtu) {
  return std::max(circuit_mtu, kLeastMtu);
}

KernelPlan plan_of(const RouterConfig& router, const Topology& topology, NodeIndex self) {
  const TopologyNode& node = topology.at(self);
  KernelPlan plan;
  plan.interface = router.tun;

  uint32_t port_mtu = UINT16_MAX;
  for (const PortConfig& port : router.ports) port_mtu = std::min<uint32_t>(port_mtu, port.mtu);
  plan.mtu = interface_mtu(port_mtu - kDatagramOverhead);

  const IpAddress skywire{skywire_address(node.key), Family::ipv6};
  plan.addresses = node.addresses;
  plan.addresses.push_back(skywire);  // last, so that the topology's own is preferred where both would do

  std::set<Prefix> outside;
  for (size_t i = 0; i < topology.nodes.size(); ++i) {
    const TopologyNode& other = topology.nodes[i];
    // Routers of one domain may name none but the domain's, which this node serves as well.
    const bool shares = other.domain == node.domain && !other.own_prefixes;
    if (NodeIndex(i) == self || shares) continue;
    const auto prefixes = topology.prefixes_of(NodeIndex(i));
    outside.insert(prefixes.begin(), prefixes.end());
  }
  for (const Prefix& own : topology.prefixes_of(self)) outside.erase(own);

  plan.routes.push_back({kSkywirePrefix, skywire});
  for (const Prefix& prefix : outside) plan.routes.push_back({prefix, first_of(plan.addresses, prefix.family)});
  return plan;
}

}  // namespace sky::controlplane
