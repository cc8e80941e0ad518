#include "dataplane/base/config.h"

#include <gtest/gtest.h>

namespace sky {
namespace {

constexpr std::string_view kMinimal = R"(
node: a1
identity: a1.key
topology: ../topology.yaml
ports: { p0: { device: "net_af_packet0,iface=veth0" } }
links: { a1-g1: { port: p0 } }
)";

RouterConfig accepted(std::string_view text) {
  const auto config = parse_router(text, "/etc/skyedge/router.yaml");
  EXPECT_TRUE(config) << to_string(config.error());
  return config.value_or(RouterConfig{});
}

TEST(RouterConfig, MinimalFileHasTheDefaults) {
  const RouterConfig config = accepted(kMinimal);
  EXPECT_EQ(config.node.name, "a1");
  EXPECT_EQ(config.node.mark.line, 2u);
  EXPECT_EQ(config.tun, "sky0");
  ASSERT_EQ(config.ports.size(), 1u);
  EXPECT_EQ(config.ports[0].device, "net_af_packet0,iface=veth0");
  EXPECT_EQ(config.ports[0].mtu, 1500);
  ASSERT_EQ(config.links.size(), 1u);
  const LinkConfig& link = config.links[0];
  EXPECT_EQ(link.name, "a1-g1");
  EXPECT_EQ(link.port, PortIndex{0});
  EXPECT_FALSE(link.mac);
  EXPECT_FALSE(link.psk_file);
  EXPECT_EQ(link.ethertype, 0x88b5);
  EXPECT_EQ(link.liveness.interval_ns, 50'000'000u);
  EXPECT_EQ(link.liveness.multiplier, 3);
  EXPECT_EQ(link.liveness.hold_ns, 1'000'000'000u);
  EXPECT_EQ(config.dataplane.workers, std::vector<uint16_t>{1});
  EXPECT_EQ(config.dataplane.idle, Idle::adaptive);
  EXPECT_FALSE(config.dataplane.hugepages);
  EXPECT_EQ(config.dataplane.sizes.rules, 1u << 20);
  EXPECT_EQ(config.rekey.time_ns, 120'000'000'000u);
  EXPECT_EQ(config.rekey.bytes, 1ull << 38);
  EXPECT_EQ(config.rekey.headless_hold_ns, 24 * kHourNs);
  EXPECT_EQ(config.circuits.paths, 2);
  EXPECT_EQ(config.circuits.probe.interval_ns, 50'000'000u);
  EXPECT_EQ(config.circuits.refresh_ns, 600'000'000'000u);
  EXPECT_EQ(config.circuits.life_ns, kHourNs);
  EXPECT_EQ(config.circuits.idle_ns, 600'000'000'000u);
  EXPECT_TRUE(config.circuits.keep.empty());
  EXPECT_EQ(config.users.control.name, "skyedge");
  EXPECT_FALSE(config.users.control.mark) << "by default";
}

TEST(RouterConfig, PathsStartFromTheFileAndSocketsFromRuntime) {
  RouterConfig config = accepted(kMinimal);
  EXPECT_EQ(config.identity_file, "/etc/skyedge/a1.key");
  EXPECT_EQ(config.topology_file, "/etc/skyedge/../topology.yaml");
  EXPECT_EQ(config.runtime, "/run/skyedge");
  EXPECT_EQ(config.dataplane_socket, "/run/skyedge/dataplane.sock");
  EXPECT_EQ(config.api_socket, "/run/skyedge/api.sock");
  config = accepted(std::string(kMinimal) + "runtime: /run/x\napi: { socket: /tmp/api }\n");
  EXPECT_EQ(config.dataplane_socket, "/run/x/dataplane.sock");
  EXPECT_EQ(config.api_socket, "/tmp/api");
  EXPECT_EQ(parse_router(kMinimal, "router.yaml")->identity_file, "a1.key");
}

TEST(RouterConfig, MetricsAreServedWhereTheFileSaysSo) {
  EXPECT_FALSE(accepted(kMinimal).metrics);
  const RouterConfig config = accepted(std::string(kMinimal) + "metrics: { listen: '[::1]:9477' }\n");
  ASSERT_TRUE(config.metrics);
  EXPECT_EQ(to_string(config.metrics->listen), "[::1]:9477");
  EXPECT_EQ(config.metrics->mark.line, 7u);
}

TEST(RouterConfig, EveryValueArrives) {
  const RouterConfig config = accepted(R"(
version: 1
laboratory: true
node: a1
identity: /keys/a1.key
topology: topology.yaml
ports:
  p0: { device: 0000:3b:00.0, mtu: 9000 }
  p1: { device: "net_tap0,iface=tap0" }
links:
  a1-g1:
    port: p1
    mac: 02:00:00:00:00:fe
    ethertype: 0x88B6
    psk: g1.psk
    liveness: { interval: 20ms, multiplier: 4, hold: 100ms }
    protect: header
tun: { name: sky7 }
dataplane:
  main_core: 2
  workers: [3]
  idle: spin
  hugepages: true
  suites: [chacha20-poly1305]
  key_log: keys.log
  sizes: { rules: 1024, links: 2, sessions: 3, groups: 4, prefixes: 5, copy_windows: 2MiB }
rekey: { time: 2s, bytes: 32GiB, failed_tags: 5000, handshake: 3s, headless_hold: 4s }
circuits:
  protect: clear
  paths: 3
  probe: { interval: 10ms, multiplier: 5 }
  refresh: 5s
  life: 6s
  idle: 7s
  keep: [d1, b2]
  copy: { to: [b2, d1], rate: 7 }
)");
  EXPECT_EQ(config.identity_file, "/keys/a1.key");
  EXPECT_EQ(config.ports[0].device, "0000:3b:00.0");
  EXPECT_EQ(config.ports[0].mtu, 9000);
  const LinkConfig& link = config.links.at(0);
  EXPECT_EQ(link.port, PortIndex{1});
  EXPECT_EQ(link.mac, (MacAddress{2, 0, 0, 0, 0, 0xfe}));
  EXPECT_EQ(link.ethertype, 0x88b6);
  EXPECT_EQ(link.psk_file, "/etc/skyedge/g1.psk");
  EXPECT_EQ(link.liveness.interval_ns, 20'000'000u);
  EXPECT_EQ(link.liveness.multiplier, 4);
  EXPECT_EQ(link.liveness.hold_ns, 100'000'000u);
  EXPECT_EQ(config.tun, "sky7");
  EXPECT_EQ(config.dataplane.main_core, 2);
  EXPECT_EQ(config.dataplane.workers, std::vector<uint16_t>{3});
  EXPECT_EQ(config.dataplane.idle, Idle::spin);
  EXPECT_TRUE(config.dataplane.hugepages);
  EXPECT_EQ(config.dataplane.suites, to_underlying(Suite::chacha20_poly1305));
  EXPECT_TRUE(config.laboratory);
  EXPECT_EQ(config.dataplane.key_log, "/etc/skyedge/keys.log");
  EXPECT_EQ(link.protect, FrameKind::header);
  EXPECT_EQ(config.circuits.protect, FrameKind::clear);
  EXPECT_EQ(config.dataplane.sizes.rules, 1024u);
  EXPECT_EQ(config.dataplane.sizes.links, 2u);
  EXPECT_EQ(config.dataplane.sizes.sessions, 3u);
  EXPECT_EQ(config.dataplane.sizes.groups, 4u);
  EXPECT_EQ(config.dataplane.sizes.prefixes, 5u);
  EXPECT_EQ(config.dataplane.sizes.copy_windows_bytes, 2u << 20);
  EXPECT_EQ(config.rekey.time_ns, 2 * kSecondNs);
  EXPECT_EQ(config.rekey.bytes, 1ull << 35);
  EXPECT_EQ(config.rekey.failed_tags, 5000u);
  EXPECT_EQ(config.rekey.handshake_ns, 3 * kSecondNs);
  EXPECT_EQ(config.rekey.headless_hold_ns, 4 * kSecondNs);
  EXPECT_EQ(config.circuits.paths, 3);
  EXPECT_EQ(config.circuits.probe.interval_ns, 10'000'000u);
  EXPECT_EQ(config.circuits.probe.multiplier, 5);
  EXPECT_EQ(config.circuits.refresh_ns, 5 * kSecondNs);
  EXPECT_EQ(config.circuits.life_ns, 6 * kSecondNs);
  EXPECT_EQ(config.circuits.idle_ns, 7 * kSecondNs);
  ASSERT_EQ(config.circuits.keep.size(), 2u);
  EXPECT_EQ(config.circuits.keep[1].name, "b2");
  EXPECT_EQ(config.circuits.keep[1].mark.line, 35u);
  ASSERT_EQ(config.circuits.copy.to.size(), 2u);
  EXPECT_EQ(config.circuits.copy.to[1].name, "d1");
  EXPECT_EQ(config.circuits.copy.rate, 7u);
}

TEST(RouterConfig, ErrorsComeTogether) {
  const auto refused = parse_router("node: 1\nports: {}\nlinks: { l: { prot: p0 } }\ntun: [x]\n", "r.yaml");
  ASSERT_FALSE(refused);
  EXPECT_EQ(to_string(refused.error()),
            "r.yaml:1:1 identity: found nothing, wanted the path of this node's secret key\n"
            "r.yaml:1:1 topology: found nothing, wanted the path of topology.yaml\n"
            "r.yaml:1:7 node: found \"1\", wanted a name (a letter, then letters, digits, - _ .)\n"
            "r.yaml:2:8 ports: found 0 ports, wanted 1 to 32\n"
            "r.yaml:3:10 links.l.port: found nothing, wanted the name of a port\n"
            "r.yaml:3:15 links.l.prot: found an unknown key, wanted one of port, mac, ethertype, psk, liveness, "
            "protect, realtime, rate;"
            " did you mean \"port\"?\n"
            "r.yaml:4:6 tun: found a list, wanted a map\n");
}

TEST(RouterConfig, ARouterFileIsSmall) {
  const auto refused = parse_router(std::string((1 << 20) + 1, '\n'), "r.yaml");
  ASSERT_FALSE(refused);
  EXPECT_EQ(to_string(refused.error()), "r.yaml:1:1 file: found 1048577 bytes, wanted at most 1048576\n");
}

/// Any bytes give a configuration or errors. Mutations of a good file, so that they reach past the parser.
TEST(RouterConfig, NoInputIsFatal) {
  uint64_t state = 1;
  const auto random = [&state](uint64_t below) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (state >> 33) % below;
  };
  constexpr std::string_view kBytes = "{}[]:,-\"'&*!|>#%@?\n \t01xab\xc3\x80\x1b";
  unsigned refused = 0;
  for (int round = 0; round < 20'000; ++round) {
    std::string text(kMinimal);
    for (uint64_t edits = 1 + random(4); edits > 0; --edits) {
      const size_t at = random(text.size());
      switch (random(3)) {
        case 0:
          text[at] = kBytes[random(kBytes.size())];
          break;
        case 1:
          text.insert(at, 1, kBytes[random(kBytes.size())]);
          break;
        default:
          text.erase(at, 1 + random(8));
          break;
      }
      if (text.empty()) text = " ";
    }
    const auto config = parse_router(text, "r.yaml");
    if (config) continue;
    ++refused;
    EXPECT_FALSE(config.error().empty()) << text;
  }
  EXPECT_GT(refused, 10'000u);
}

}  // namespace
}  // namespace sky
