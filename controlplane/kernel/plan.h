// What the kernel is to know of the Skywire network: the TUN's state, this node's addresses on it, and routes into it.
// Computed from the configuration alone, so that it can be applied again whenever the dataplane made a new TUN.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "controlplane/topology/topology.h"
#include "dataplane/base/address.h"
#include "dataplane/base/config.h"

namespace sky::controlplane {

struct KernelRoute {
  Prefix prefix;
  std::optional<IpAddress> source;  ///< preferred by the kernel for packets of this node's own
  bool operator==(const KernelRoute&) const = default;
};

struct KernelPlan {
  std::string interface;
  uint32_t mtu = 0;  ///< IP packet, bytes
  std::vector<IpAddress> addresses;
  std::vector<KernelRoute> routes;
};

/// fc00::/8 and the prefixes of every other node by way of the TUN; the Skywire address and the topology's addresses of
/// `self` on it. The MTU is what the smallest port can carry.
KernelPlan plan_of(const RouterConfig& router, const Topology& topology, NodeIndex self);

/// The MTU of the TUN when circuits carry at least `circuit_mtu`: never below IPv6's least, or the kernel would take
/// IPv6 off the interface; a smaller circuit carries no IPv6.
uint32_t interface_mtu(uint32_t circuit_mtu);

}  // namespace sky::controlplane
