// What a port's device string says, and what is refused of it before DPDK sees it.
#include "dataplane/base/device.h"

#include <gtest/gtest.h>

namespace sky {
namespace {

TEST(Device, IsNameAndArguments) {
  const Device device = parse_device("net_tap0,iface=tap0,persist,mac=02:00:00:00:00:01");
  EXPECT_EQ(device.kind, DeviceKind::tap);
  EXPECT_EQ(device.name, "net_tap0");
  EXPECT_EQ(device.interface(), "tap0");
  ASSERT_NE(device.find("persist"), nullptr);
  EXPECT_EQ(*device.find("persist"), "");
  EXPECT_EQ(*device.find("mac"), "02:00:00:00:00:01");
  EXPECT_EQ(device.find("remote"), nullptr);
}

TEST(Device, KnowsItsKind) {
  EXPECT_EQ(parse_device("0000:3b:00.0").kind, DeviceKind::nic);
  EXPECT_EQ(parse_device("net_af_packet12,iface=x").kind, DeviceKind::packet_socket);
  EXPECT_EQ(parse_device("net_af_xdp0,iface=x").kind, DeviceKind::xdp);
  EXPECT_EQ(parse_device("net_memif0,role=client").kind, DeviceKind::memif);
  EXPECT_EQ(parse_device("net_null0").kind, DeviceKind::other);
  EXPECT_EQ(parse_device("net_tap").kind, DeviceKind::other);
  EXPECT_EQ(parse_device("").kind, DeviceKind::other);
}

TEST(Device, APciAddress) {
  EXPECT_TRUE(is_pci_address("0000:3b:00.0"));
  EXPECT_TRUE(is_pci_address("3b:00.1"));
  EXPECT_TRUE(is_pci_address("0000:3b:00.0,class=x"));
  EXPECT_FALSE(is_pci_address("net_af_packet0,iface=veth0"));
  EXPECT_FALSE(is_pci_address("0000:3b:00.8"));
  EXPECT_FALSE(is_pci_address(""));
}

TEST(Device, WhatEachDriverTakes) {
  for (const char* text :
       {"0000:3b:00.0", "net_null0", "net_af_packet0,iface=eth1,qdisc_bypass=0", "net_af_xdp3,iface=eth1,start_queue=2",
        "net_tap0,iface=fifteen-letters,persist", "net_memif0,role=client,socket=/run/x.sock,id=3,zero-copy=no",
        "net_memif1,role=server,socket=/run/x.sock,socket-abstract=no,secret=s"}) {
    const auto fault = check_device(parse_device(text));
    EXPECT_FALSE(fault) << text << ": found " << fault->found << ", wanted " << fault->wanted;
  }
}

struct Refused {
  const char* device;
  const char* found;
  const char* wanted;
};

TEST(Device, WhatEachDriverIsRefused) {
  const std::string long_path = "socket=/" + std::string(107, 'x');
  const std::string long_socket = "net_memif0,role=client," + long_path;
  const Refused all[] = {
      {"net_tap,iface=x", "\"net_tap\"", "a number behind the name: net_tap0"},
      {"net_af_packet0", "no iface", "iface=INTERFACE"},
      {"net_af_xdp0,iface=", "no iface", "iface=INTERFACE"},
      {"net_tap0", "no iface", "iface=NAME of the interface that it makes"},
      {"net_tap0,ifcae=x", "the argument \"ifcae\"", "iface"},
      {"net_tap0,iface=x,blocksz=1", "the argument \"blocksz\"", "one of iface, remote, mac, persist"},
      {"net_tap0,iface=sixteen-letters-", "iface=sixteen-letters-", "an interface name of at most 15 bytes"},
      {"net_tap0,iface=x,remote=eth0", "remote=eth0",
       "net_af_packet0,iface=INTERFACE for a port on an interface that is there"},
      {"net_af_packet0,iface=x,qpairs=2", "qpairs=2", "none: dataplane.workers says how many queues there are"},
      {"net_af_xdp0,iface=x,queue_count=2", "queue_count=2", "none: dataplane.workers says how many queues there are"},
      {"net_af_xdp0,iface=x,busy_budget=0", "busy_budget=0", "a budget above 0"},
      {"net_af_xdp0,iface=x,shared_umem=1", "shared_umem=1", "none: each port has its own memory"},
      {"net_memif0,socket=/x", "no role", "role=server or role=client"},
      {"net_memif0,role=guest,socket=/x", "role=guest", "role=server or role=client"},
      {"net_memif0,role=server", "no socket", "socket=/PATH, the same at both ends"},
      {"net_memif0,role=server,socket=x", "socket=x", "a whole path of at most 107 bytes"},
      {long_socket.c_str(), long_path.c_str(), "a whole path of at most 107 bytes"},
      {"net_memif0,role=server,socket=/x,zero-copy=yes", "zero-copy=yes",
       "no: it shows the peer all buffers of this process"},
      {"net_memif0,role=server,socket=/x,socket-abstract=yes", "socket-abstract=yes",
       "no: everybody may connect to an abstract socket"},
  };
  for (const Refused& row : all) {
    const auto fault = check_device(parse_device(row.device));
    ASSERT_TRUE(fault) << row.device;
    EXPECT_EQ(fault->found, row.found) << row.device;
    EXPECT_EQ(fault->wanted, row.wanted) << row.device;
  }
}

TEST(Device, TheLargestFrameOfXdpFillsAPageExactly) {
  EXPECT_EQ(most_mtu(DeviceKind::xdp), 3502);
  EXPECT_EQ(most_mtu(DeviceKind::tap), 1500);
  EXPECT_EQ(most_mtu(DeviceKind::memif), 9216);
  EXPECT_EQ(most_mtu(DeviceKind::nic), 9216);
}

}  // namespace
}  // namespace sky
