// The messages of route netlink that this program sends and reads, as bytes (built with libmnl). Pure: no socket.
// Routes carry a protocol number and a metric of their own, so that only what this program put is ever replaced or
// removed, and an operator's route of a lower metric to the same prefix wins. Source: rtnetlink(7).
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "controlplane/kernel/plan.h"

namespace sky::controlplane::netlink {

inline constexpr uint8_t kRouteProtocol = 119;  ///< rtm_protocol, nobody else's; `ip route show proto 119`
inline constexpr uint32_t kRouteMetric = 8;     ///< below what routing daemons use

using Message = std::vector<uint8_t>;
using Interface = uint32_t;  ///< index

Message set_link(Interface interface, uint32_t mtu);  ///< up, with this MTU, without addresses of the kernel's making
Message put_address(Interface interface, const IpAddress& address);
Message delete_address(Interface interface, const IpAddress& address);
Message put_route(Interface interface, const KernelRoute& route);
Message delete_route(Interface interface, const Prefix& prefix);
Message dump_addresses();
Message dump_routes();

/// From a dump: an address of this interface that is not link-local; a route of ours into it.
std::optional<IpAddress> read_address(const Message& message, Interface interface);
std::optional<Prefix> read_route(const Message& message, Interface interface);

}  // namespace sky::controlplane::netlink
