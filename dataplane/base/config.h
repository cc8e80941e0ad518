// router.yaml: what one node needs to know about itself. Both processes and skyctl read this one
// file; no DPDK here. On entry: a file from an operator. After: every field within the range named
// beside it, or all errors at once. Reference for operators: docs/operations.md, "Configuration
// reference"; conf/router.yaml shows every key. Units stand in the names; marks are kept where a
// later check, against topology.yaml, may have to point at a line.
#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/base/address.h"
#include "dataplane/base/config_error.h"
#include "dataplane/base/ids.h"
#include "dataplane/base/units.h"

namespace sky {

/// A word of the file and where it stands.
struct MarkedName {
  std::string name;
  Mark mark;
};

struct PortConfig {
  std::string name;
  std::string device{};              ///< DPDK device string (net_af_packet0,iface=veth0) or PCI address (0000:3b:00.0)
  uint16_t mtu = 1500;               ///< bytes, 1280 to 9216: what the wire carries behind the Ethernet header
  bool lanes_by_mac = false;         ///< workers' lanes stand in the last byte of the source MAC address, on both ends
  std::optional<unsigned> worker{};  ///< place in dataplane.workers: polls it and owns its links; set by the reader
  Mark mark;
  Mark worker_mark{};
};

/// As BFD's asynchronous mode: down after `multiplier` intervals of silence, up again after `hold`.
struct LivenessConfig {
  uint64_t interval_ns = 50 * kMillisecondNs;  ///< 1 ms to 1 s
  uint8_t multiplier = 3;                      ///< 2 to 10
  uint64_t hold_ns = kSecondNs;                ///< 0 s to 60 s; doubles with each flap up to 60 s
};

struct LinkConfig {
  std::string name;  ///< of a link in topology.yaml that ends at this node
  PortIndex port{0};
  std::optional<MacAddress> mac{};        ///< the peer's; absent: learned in the handshake
  uint16_t ethertype = 0x88b5;            ///< 0x0600 to 0xffff, IPv4, ARP, VLAN and IPv6 excepted
  std::optional<std::string> psk_file{};  ///< path of a 32-byte pre-shared key in base64, mode 0600
  LivenessConfig liveness{};
  FrameKind protect = FrameKind::frame;    ///< the least kind that is taken; what is sent where the peer wants no more
  std::optional<uint64_t> realtime_bps{};  ///< budget of what comes by it for realtime queues; absent: of its capacity
  uint64_t rate_bps = 0;                   ///< all that is taken of the neighbour; 0: no limit
  Mark mark;
  Mark psk_mark{};
};

enum class Idle : uint8_t {
  adaptive,  ///< a worker without work sleeps: until a frame comes, or up to 100 us where a port cannot wake it
  spin,      ///< a worker polls always: dedicated cores
};

struct SizesConfig {
  uint32_t rules = 1 << 20;                   ///< a power of two, 2^10 to 2^24
  uint32_t links = 256;                       ///< 1 to 65535
  uint32_t sessions = 4096;                   ///< 1 to 262144
  uint32_t groups = 4096;                     ///< 1 to 262144
  uint32_t prefixes = 65'536;                 ///< 1 to 1250000, IPv4 and IPv6 each
  uint64_t copy_windows_bytes = 64ull << 20;  ///< 1 MiB to 64 GiB: replay windows of copied streams
};

struct DataplaneConfig {
  uint16_t main_core = 0;               ///< 0 to 1023
  std::vector<uint16_t> workers = {1};  ///< cores, each once; 1 to 16
  Idle idle = Idle::adaptive;
  bool hugepages = false;
  Suites suites = kAllSuites;            ///< that links and sessions may use
  std::optional<std::string> key_log{};  ///< file that every key is written to: laboratories alone
  SizesConfig sizes;
};

/// When a key epoch ends, when a chain is renewed, and how long a link lives on without its control
/// plane.
struct RekeyConfig {
  uint64_t time_ns = 120 * kSecondNs;        ///< of use, 1 s to 1 h
  uint64_t bytes = 256ull << 30;             ///< 1 MiB to 256 GiB (2^38)
  uint64_t failed_tags = 1ull << 30;         ///< 1024 to 2^30, under one key
  uint64_t handshake_ns = 120 * kSecondNs;   ///< 1 s to 24 h
  uint64_t headless_hold_ns = 24 * kHourNs;  ///< 1 s to 168 h, not less than handshake
};

struct ProbeConfig {
  uint64_t interval_ns = 50 * kMillisecondNs;  ///< 1 ms to 10 s
  uint8_t multiplier = 3;                      ///< 2 to 10
};

/// To which nodes packets go twice.
struct CopyConfig {
  std::vector<MarkedName> to;  ///< each once; empty: to none
  uint32_t rate = 0;           ///< packets a second to each of them, 1 to 100 million; beyond it they go once
};

struct CircuitsConfig {
  uint8_t paths = 2;                      ///< 1 to 8, as disjoint as the topology allows
  FrameKind protect = FrameKind::header;  ///< the least kind at every hop
  bool realtime = false;                  ///< at every hop ahead of others, as far as `rate_bps` goes
  uint64_t rate_bps = 0;                  ///< of a realtime circuit and direction
  ProbeConfig probe;
  uint64_t refresh_ns = 10 * kMinuteNs;  ///< 1 s to 24 h, less than life
  uint64_t life_ns = 60 * kMinuteNs;     ///< 2 s to 168 h
  uint64_t idle_ns = 10 * kMinuteNs;     ///< 1 s to 168 h
  std::vector<MarkedName> keep;          ///< nodes to which circuits are held up from the start
  CopyConfig copy;
  UntilUp until_up = UntilUp::drop;
};

/// A user of this machine.
struct UserName {
  std::string name;
  std::optional<Mark> mark{};  ///< none where the name is the default
};

/// Whom each process believes at the other end of the socket between them, beside root and its own user.
struct UsersConfig {
  UserName control{"skyedge"};         ///< may attach to the dataplane
  UserName dataplane{"skyedge-data"};  ///< may be what the control plane attaches to
};

/// Where the control plane serves its figures to Prometheus.
struct MetricsConfig {
  TcpAddress listen;
  Mark mark;  ///< of `listen`
};

/// Paths are resolved: those of files against the directory of router.yaml, sockets against
/// `runtime`.
struct RouterConfig {
  std::string file;         ///< the path this was read from
  bool laboratory = false;  ///< allows what gives protection up: kind `clear`, a key log
  MarkedName node;
  std::string identity_file;  ///< Ed25519 seed in base64, mode 0600
  std::string topology_file;
  std::string runtime = "/run/skyedge";
  std::string dataplane_socket;
  std::string api_socket;
  std::optional<MetricsConfig> metrics{};  ///< absent: not served
  UsersConfig users;
  std::string tun = "sky0";       ///< interface name, at most 15 bytes
  std::vector<PortConfig> ports;  ///< position = PortIndex
  std::vector<LinkConfig> links;  ///< position = LinkIndex
  DataplaneConfig dataplane;
  RekeyConfig rekey;
  CircuitsConfig circuits;
  Mark identity_mark;
  Mark topology_mark;
  Mark links_mark;
};

std::expected<RouterConfig, ConfigErrors> read_router(const std::string& path);

/// The same for a text; `file` stands in errors and is what relative paths start from.
std::expected<RouterConfig, ConfigErrors> parse_router(std::string_view text, const std::string& file);

}  // namespace sky
