#include <gtest/gtest.h>
#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>

#include <algorithm>
#include <random>

#include "controlplane/kernel/netlink.h"
#include "controlplane/kernel/plan.h"

namespace sky::controlplane {
namespace {

IpAddress address(const char* text) {
  return *parse_address(text);
}
Prefix prefix(const char* text) {
  return *parse_prefix(text);
}

constexpr netlink::Interface kInterface = 7;

TEST(Netlink, ARouteByteForByte) {
  const netlink::Message wanted{60, 0,  0, 0, 24,  0,   0x05, 0x05, 0, 0, 0, 0,
                                0,  0,  0, 0,                                    // length, RTM_NEWROUTE, flags
                                2,  16, 0, 0, 254, 119, 253,  1,    0, 0, 0, 0,  // IPv4 /16, main, ours, link, unicast
                                8,  0,  1, 0, 10,  1,   0,    0,                 // to
                                8,  0,  4, 0, 7,   0,   0,    0,                 // over interface 7
                                8,  0,  6, 0, 8,   0,   0,    0,                 // metric 8
                                8,  0,  7, 0, 10,  4,   0,    1};                // from
  EXPECT_EQ(netlink::put_route(kInterface, {prefix("10.1.0.0/16"), address("10.4.0.1")}), wanted);
}

TEST(Netlink, AddressesReadBackAsPut) {
  for (const char* text : {"10.4.0.1", "fd04::1", "fc12:3456::9"}) {
    const auto message = netlink::put_address(kInterface, address(text));
    EXPECT_EQ(netlink::read_address(message, kInterface), address(text));
    EXPECT_EQ(netlink::read_address(message, kInterface + 1), std::nullopt);
    EXPECT_EQ(netlink::read_route(message, kInterface), std::nullopt);
  }
}

TEST(Netlink, RoutesReadBackAsPut) {
  for (const char* text : {"10.1.0.0/16", "fd01::/48", "fc00::/8", "0.0.0.0/0", "::/0", "10.1.2.3/32"}) {
    const auto message = netlink::put_route(kInterface, {prefix(text), {}});
    EXPECT_EQ(netlink::read_route(message, kInterface), prefix(text)) << text;
    EXPECT_EQ(netlink::read_route(message, kInterface + 1), std::nullopt);
  }
}

TEST(Netlink, RoutesOfOthersAreNotOurs) {
  auto message = netlink::put_route(kInterface, {prefix("10.1.0.0/16"), {}});
  reinterpret_cast<rtmsg*>(message.data() + sizeof(nlmsghdr))->rtm_protocol = RTPROT_STATIC;
  EXPECT_EQ(netlink::read_route(message, kInterface), std::nullopt);
}

TEST(Netlink, LinkLocalAddressesAreTheKernels) {
  auto message = netlink::put_address(kInterface, address("fe80::1"));
  reinterpret_cast<ifaddrmsg*>(message.data() + sizeof(nlmsghdr))->ifa_scope = RT_SCOPE_LINK;
  EXPECT_EQ(netlink::read_address(message, kInterface), std::nullopt);
}

TEST(Netlink, MangledMessagesAreReadWithoutHarm) {
  std::mt19937 random(1);
  const netlink::Message seeds[] = {netlink::put_route(kInterface, {prefix("fd01::/48"), address("fd04::1")}),
                                    netlink::put_address(kInterface, address("fd04::1"))};
  for (int round = 0; round < 100'000; ++round) {
    netlink::Message message = seeds[round % 2];
    for (int changes = 1 + random() % 4; changes > 0; --changes) {
      message[random() % message.size()] = static_cast<uint8_t>(random());
    }
    message.resize(random() % 4 ? message.size() : random() % message.size());
    message.shrink_to_fit();
    netlink::read_route(message, kInterface);
    netlink::read_address(message, kInterface);
  }
}

/// alpha (a1), beta (b1, b2 of one prefix) and delta (d1).
struct Network {
  Network() {
    const auto alpha = topology.add_domain("alpha", 65001, {prefix("fd01::/48"), prefix("10.1.0.0/16")});
    const auto beta = topology.add_domain("beta", 65002, {prefix("fd02::/48")});
    const auto delta = topology.add_domain("delta", 65004, {prefix("fd04::/48"), prefix("10.4.0.0/16")});
    a1 = topology.add_node(alpha, "a1", {1});
    b1 = topology.add_node(beta, "b1", {2});
    b2 = topology.add_node(beta, "b2", {3});
    d1 = topology.add_node(delta, "d1", {4});
    topology.at(a1).addresses = {address("fd01::1"), address("10.1.0.1")};
    router.ports.resize(2);
    router.ports[0].mtu = 9000;
    router.ports[1].mtu = 1500;
  }
  Topology topology;
  RouterConfig router;
  NodeIndex a1{}, b1{}, b2{}, d1{};
};

TEST(KernelPlan, AddressesAndRoutesOfAnEnd) {
  const Network network;
  const auto plan = plan_of(network.router, network.topology, network.a1);
  const IpAddress skywire{skywire_address({1}), Family::ipv6};
  EXPECT_EQ(plan.interface, "sky0");
  EXPECT_EQ(plan.mtu, 1437u);
  EXPECT_EQ(plan.addresses, (std::vector{address("fd01::1"), address("10.1.0.1"), skywire}));
  EXPECT_EQ(plan.routes, (std::vector<KernelRoute>{{prefix("fc00::/8"), skywire},
                                                   {prefix("10.4.0.0/16"), address("10.1.0.1")},
                                                   {prefix("fd02::/48"), address("fd01::1")},
                                                   {prefix("fd04::/48"), address("fd01::1")}}));
}

TEST(KernelPlan, ANodeWithoutAddressesSpeaksFromItsSkywireAddress) {
  const Network network;
  const auto plan = plan_of(network.router, network.topology, network.b1);
  const IpAddress skywire{skywire_address({2}), Family::ipv6};
  EXPECT_EQ(plan.addresses, std::vector{skywire});
  EXPECT_EQ(plan.routes, (std::vector<KernelRoute>{{prefix("fc00::/8"), skywire},
                                                   {prefix("10.1.0.0/16"), {}},
                                                   {prefix("10.4.0.0/16"), {}},
                                                   {prefix("fd01::/48"), skywire},
                                                   {prefix("fd04::/48"), skywire}}));
}

TEST(KernelPlan, ANeighbourInTheDomainWithPrefixesOfItsOwnIsReachedThroughTheNetwork) {
  Network network;
  network.topology.at(network.b2).own_prefixes = {prefix("fd02:0:0:2::/64")};
  const auto plan = plan_of(network.router, network.topology, network.b1);
  EXPECT_NE(std::ranges::find(plan.routes, prefix("fd02:0:0:2::/64"), &KernelRoute::prefix), plan.routes.end());
}

TEST(KernelPlan, TheMtuNeverCostsIpv6) {
  EXPECT_EQ(interface_mtu(1200), 1280u);
  EXPECT_EQ(interface_mtu(1420), 1420u);
  Network network;
  network.router.ports[1].mtu = 1300;
  EXPECT_EQ(plan_of(network.router, network.topology, network.a1).mtu, 1280u);
}

}  // namespace
}  // namespace sky::controlplane
