#include "dataplane/base/config.h"

#include <algorithm>
#include <filesystem>
#include <functional>
#include <map>

#include "dataplane/base/device.h"
#include "dataplane/base/fields.h"
#include "dataplane/base/yaml.h"

namespace sky {
namespace {

constexpr yaml::Budget kRouterBudget;
constexpr size_t kMostWorkers = 16;           ///< kMaxLanes: each seals on a lane of its own
constexpr size_t kMostPorts = 32;             ///< RTE_MAX_ETHPORTS of the distribution's DPDK
constexpr size_t kMostSocketPathBytes = 107;  ///< of sockaddr_un
constexpr uint16_t kForeignEthertypes[] = {0x0800, 0x0806, 0x8100, 0x86dd, 0x88a8};

Scalar<std::string> path() {
  return scalar::text(4096, "a path");
}

std::string beside(const std::string& file, const std::string& target) {
  return (std::filesystem::path(file).parent_path() / target).string();
}

Scalar<uint64_t> ethertype() {
  auto type = scalar::integer(0x0600, 0xffff);
  type.wanted = "an EtherType from 0x0600 to 0xffff that no other protocol uses";
  type.parse = [range = type.parse, wanted = type.wanted](std::string_view text) -> Result<uint64_t> {
    const auto value = range(text);
    if (!value || std::ranges::find(kForeignEthertypes, *value) != std::end(kForeignEthertypes)) {
      return fail("{}", wanted);
    }
    return value;
  };
  return type;
}

Scalar<std::string> interface_name() {
  auto type = scalar::name();
  type.wanted = "an interface name of at most 15 bytes";
  type.parse = [parse = type.parse, wanted = type.wanted](std::string_view text) -> Result<std::string> {
    auto value = parse(text);
    if (!value || value->size() > 15) return fail("{}", wanted);
    return value;
  };
  return type;
}

void read_port(const Place& place, PortConfig& port) {
  Fields fields(place);
  const auto text = scalar::text(255, "a DPDK device string or PCI address");
  const auto where = fields.need("device", text.wanted);
  const auto mtu = fields.find("mtu");
  fields.read("lanes", scalar::choice<bool>({{"one", false}, {"mac", true}}), port.lanes_by_mac);
  if (const auto place_of_worker = fields.find("worker")) {
    port.worker = place_of_worker->read(scalar::integer(0, kMostWorkers - 1));
    port.worker_mark = place_of_worker->mark();
  }
  if (where) port.device = where->read(text).value_or("");
  if (mtu) port.mtu = static_cast<uint16_t>(mtu->read(scalar::integer(1280, 9216)).value_or(port.mtu));
  const Device device = parse_device(port.device);
  if (const auto fault = check_device(device); where && fault) where->error(fault->found, fault->wanted);
  if (mtu && port.mtu > most_mtu(device.kind)) {
    mtu->error(std::to_string(port.mtu), fmt::format("at most {} with {}", most_mtu(device.kind), device.name));
  }
}

void read_ports(const Place& place, std::vector<PortConfig>& ports) {
  std::map<std::string, std::string> port_of_device, port_of_interface;
  for (const auto& [port_name, entry] : place.entries("a map from names to ports")) {
    PortConfig port{.name = port_name, .mark = entry.key_mark()};
    read_port(entry, port);
    const Device device = parse_device(port.device);
    const auto [other, fresh] = port_of_device.try_emplace(device.name, port_name);
    if (!fresh && !device.name.empty()) {
      entry.error(fmt::format("the device of {} again", other->second), "a device of its own");
    }
    const auto [beside, alone] = port_of_interface.try_emplace(device.interface(), port_name);
    if (!alone && !device.interface().empty()) {
      entry.error(fmt::format("the interface of {} again", beside->second), "an interface of its own");
    }
    ports.push_back(std::move(port));
  }
  const bool is_map = place.node().kind == yaml::Node::Kind::map;
  if (is_map && (ports.empty() || ports.size() > kMostPorts)) {
    place.error(fmt::format("{} ports", ports.size()), fmt::format("1 to {}", kMostPorts));
  }
}

void read_liveness(const Place& place, LivenessConfig& liveness) {
  Fields fields(place);
  fields.read("interval", scalar::duration(kMillisecondNs, kSecondNs), liveness.interval_ns);
  fields.read("multiplier", scalar::integer(2, 10), liveness.multiplier);
  fields.read("hold", scalar::duration(0, 60 * kSecondNs), liveness.hold_ns);
}

/// The port that a link names must stand in the same file.
void read_port_of_link(const Place& place, const std::vector<PortConfig>& ports, PortIndex& index) {
  const auto port_name = place.read(scalar::name());
  if (!port_name) return;
  const auto port = std::ranges::find(ports, *port_name, &PortConfig::name);
  if (port != ports.end()) {
    index = PortIndex(static_cast<uint16_t>(port - ports.begin()));
    return;
  }
  std::vector<std::string> names;
  for (const PortConfig& known : ports) names.push_back(known.name);
  place.error(quote(*port_name), "a port of this file", nearest(*port_name, names));
}

void read_protection(Fields& fields, bool laboratory, FrameKind& kind) {
  const auto place = fields.find("protect");
  if (!place) return;
  const auto value = place->read(scalar::choice<FrameKind>(
      {{"frame", FrameKind::frame}, {"header", FrameKind::header}, {"clear", FrameKind::clear}}));
  if (value == FrameKind::clear && !laboratory) {
    place->error("clear", "frame or header, or `laboratory: true` at the top of this file");
  }
  if (value) kind = *value;
}

/// What a meter can hold: 64 kbit/s to 1 Tbit/s.
Scalar<uint64_t> limited_rate() {
  return scalar::rate(64'000, 1'000'000'000'000);
}

void read_link(const Place& place, const RouterConfig& config, LinkConfig& link) {
  Fields fields(place);
  if (const auto port = fields.need("port", "the name of a port")) {
    read_port_of_link(*port, config.ports, link.port);
  }
  fields.read("mac", scalar::mac_address(), link.mac);
  fields.read("ethertype", ethertype(), link.ethertype);
  if (const auto psk = fields.find("psk")) {
    if (const auto file = psk->read(path())) link.psk_file = beside(config.file, *file);
    link.psk_mark = psk->mark();
  }
  if (const auto liveness = fields.find("liveness")) read_liveness(*liveness, link.liveness);
  read_protection(fields, config.laboratory, link.protect);
  if (const auto realtime = fields.find("realtime")) link.realtime_bps = realtime->read(limited_rate());
  fields.read("rate", limited_rate(), link.rate_bps);
}

void read_links(const Place& place, RouterConfig& config) {
  config.links_mark = place.key_mark();
  for (const auto& [link_name, entry] : place.entries("a map from names to links")) {
    LinkConfig link{.name = link_name, .mark = entry.key_mark()};
    read_link(entry, config, link);
    const auto beside_it = std::ranges::find(config.links, link.port, &LinkConfig::port);
    if (beside_it != config.links.end() && beside_it->ethertype != link.ethertype) {
      entry.error(fmt::format("EtherType 0x{:04x}", link.ethertype),
                  fmt::format("0x{:04x}, that of {} on the same port", beside_it->ethertype, beside_it->name));
    }
    config.links.push_back(std::move(link));
  }
}

void read_sizes(const Place& place, SizesConfig& sizes) {
  Fields fields(place);
  fields.read("rules", scalar::power_of_two(1 << 10, 1 << 24), sizes.rules);
  fields.read("links", scalar::integer(1, 65'535), sizes.links);
  fields.read("sessions", scalar::integer(1, 262'144), sizes.sessions);
  fields.read("groups", scalar::integer(1, 262'144), sizes.groups);
  fields.read("prefixes", scalar::integer(1, 1'250'000), sizes.prefixes);
  fields.read("copy_windows", scalar::size(1ull << 20, 1ull << 36), sizes.copy_windows_bytes);
}

void read_workers(const Place& place, std::vector<uint16_t>& workers) {
  workers.clear();
  for (const Place& item : place.items()) {
    const auto core = item.read(scalar::integer(0, 1023));
    if (!core) continue;
    if (std::ranges::find(workers, *core) != workers.end())
      place.error(fmt::format("core {} again", *core), "a core of its own for each worker");
    workers.push_back(static_cast<uint16_t>(*core));
  }
  const size_t count = place.node().entries.size();
  if (place.node().kind == yaml::Node::Kind::list && (count < 1 || count > kMostWorkers)) {
    place.error(fmt::format("{} workers", count), fmt::format("1 to {}", kMostWorkers));
  }
}

void read_suites(const Place& place, Suites& suites) {
  const auto type =
      scalar::choice<Suite>({{"aes-256-gcm", Suite::aes_256_gcm}, {"chacha20-poly1305", Suite::chacha20_poly1305}});
  suites = 0;
  for (const Place& item : place.items()) {
    if (const auto suite = item.read(type)) suites |= to_underlying(*suite);
  }
  if (place.node().kind == yaml::Node::Kind::list && place.node().entries.empty()) {
    place.error("no suite", type.wanted);
  }
}

void read_key_log(const Place& place, RouterConfig& config) {
  if (!config.laboratory) {
    place.error("a key log", "none, or `laboratory: true` at the top of this file");
  } else if (const auto file = place.read(path())) {
    config.dataplane.key_log = beside(config.file, *file);
  }
}

void read_dataplane(const Place& place, RouterConfig& config) {
  DataplaneConfig& dataplane = config.dataplane;
  Fields fields(place);
  fields.read("main_core", scalar::integer(0, 1023), dataplane.main_core);
  if (const auto workers = fields.find("workers")) read_workers(*workers, dataplane.workers);
  fields.read("idle", scalar::choice<Idle>({{"adaptive", Idle::adaptive}, {"spin", Idle::spin}}), dataplane.idle);
  fields.read("hugepages", scalar::boolean(), dataplane.hugepages);
  if (const auto suites = fields.find("suites")) read_suites(*suites, dataplane.suites);
  if (const auto log = fields.find("key_log")) read_key_log(*log, config);
  if (const auto sizes = fields.find("sizes")) read_sizes(*sizes, dataplane.sizes);
  const bool shared = std::ranges::find(dataplane.workers, dataplane.main_core) != dataplane.workers.end();
  if (shared && dataplane.idle == Idle::spin) {
    place.error(fmt::format("core {} as main core and as worker", dataplane.main_core),
                "a core of its own for a worker that spins");
  }
}

void read_rekey(const Place& place, RekeyConfig& rekey) {
  Fields fields(place);
  fields.read("time", scalar::duration(kSecondNs, kHourNs), rekey.time_ns);
  fields.read("bytes", scalar::size(1ull << 20, 1ull << 38), rekey.bytes);
  fields.read("failed_tags", scalar::integer(1024, 1 << 30), rekey.failed_tags);
  fields.read("handshake", scalar::duration(kSecondNs, 24 * kHourNs), rekey.handshake_ns);
  fields.read("headless_hold", scalar::duration(kSecondNs, 168 * kHourNs), rekey.headless_hold_ns);
  if (rekey.headless_hold_ns < rekey.handshake_ns) {
    place.error(fmt::format("headless_hold {} below handshake {}", format_duration_ns(rekey.headless_hold_ns),
                            format_duration_ns(rekey.handshake_ns)),
                "headless_hold not below handshake");
  }
}

void read_queue(Fields& fields, const Place& place, CircuitsConfig& circuits) {
  enum class Word : uint8_t { other, realtime };
  auto word = Word::other;
  fields.read("queue", scalar::choice<Word>({{"other", Word::other}, {"realtime", Word::realtime}}), word);
  fields.read("rate", limited_rate(), circuits.rate_bps);
  circuits.realtime = word == Word::realtime;
  if (circuits.realtime && circuits.rate_bps == 0) place.error("queue realtime without a rate", "rate, such as 10M");
  if (!circuits.realtime && circuits.rate_bps != 0)
    place.error("a rate for queue other", "queue: realtime, or no rate");
}

void read_copy(const Place& place, CopyConfig& copy) {
  Fields fields(place);
  if (const auto to = fields.need("to", "a list of nodes")) {
    for (const Place& item : to->items()) {
      const auto node = item.read(scalar::name());
      if (!node) continue;
      if (std::ranges::find(copy.to, *node, &MarkedName::name) != copy.to.end())
        to->error(fmt::format("{} again", *node), "each node once");
      copy.to.push_back({*node, item.mark()});
    }
  }
  if (const auto rate = fields.need("rate", "packets a second")) {
    copy.rate = static_cast<uint32_t>(rate->read(scalar::integer(1, 100'000'000)).value_or(1));
  }
}

void read_circuits(const Place& place, bool laboratory, CircuitsConfig& circuits) {
  Fields fields(place);
  read_protection(fields, laboratory, circuits.protect);
  read_queue(fields, place, circuits);
  fields.read("paths", scalar::integer(1, 8), circuits.paths);
  if (const auto probe = fields.find("probe")) {
    Fields probe_fields(*probe);
    probe_fields.read("interval", scalar::duration(kMillisecondNs, 10 * kSecondNs), circuits.probe.interval_ns);
    probe_fields.read("multiplier", scalar::integer(2, 10), circuits.probe.multiplier);
  }
  fields.read("refresh", scalar::duration(kSecondNs, 24 * kHourNs), circuits.refresh_ns);
  fields.read("life", scalar::duration(2 * kSecondNs, 168 * kHourNs), circuits.life_ns);
  fields.read("idle", scalar::duration(kSecondNs, 168 * kHourNs), circuits.idle_ns);
  if (const auto keep = fields.find("keep")) {
    for (const Place& item : keep->items()) {
      if (const auto node = item.read(scalar::name())) circuits.keep.push_back({*node, item.mark()});
    }
  }
  if (const auto copy = fields.find("copy")) read_copy(*copy, circuits.copy);
  fields.read("until_up", scalar::choice<UntilUp>({{"drop", UntilUp::drop}}), circuits.until_up);
  if (circuits.refresh_ns >= circuits.life_ns) {
    place.error(fmt::format("refresh {} with life {}", format_duration_ns(circuits.refresh_ns),
                            format_duration_ns(circuits.life_ns)),
                "refresh below life");
  }
}

/// A file of this directory: `key: path`, kept with its mark.
void read_file_path(Fields& fields, std::string_view key, const std::string& wanted, const std::string& beside_file,
                    std::string& target, Mark& mark) {
  const auto place = fields.need(key, wanted);
  if (!place) return;
  mark = place->mark();
  if (const auto value = place->read(scalar::text(4096, wanted))) target = beside(beside_file, *value);
}

void read_sockets(Fields& fields, const Place& root, RouterConfig& config) {
  if (const auto place = fields.find("runtime")) {
    if (const auto value = place->read(path())) config.runtime = beside(config.file, *value);
  }
  std::string api = "api.sock";
  if (const auto place = fields.find("api")) Fields(*place).read("socket", path(), api);
  const std::filesystem::path runtime(config.runtime);
  config.dataplane_socket = (runtime / "dataplane.sock").string();
  config.api_socket = (runtime / api).string();
  const size_t longest = std::max(config.dataplane_socket.size(), config.api_socket.size());
  if (longest > kMostSocketPathBytes) {
    root.report().add(root.mark(), "runtime", fmt::format("a socket path of {} bytes", longest),
                      fmt::format("at most {}", kMostSocketPathBytes));
  }
}

void read_metrics(const Place& place, std::optional<MetricsConfig>& metrics) {
  Fields fields(place);
  const auto type = scalar::tcp_address();
  const auto listen = fields.need("listen", type.wanted);
  if (!listen) return;
  if (const auto value = listen->read(type)) metrics = {*value, listen->mark()};
}

/// Ports without a worker of their own go round.
void place_ports(Report& report, RouterConfig& config) {
  const size_t workers = config.dataplane.workers.size();
  for (size_t i = 0; i < config.ports.size() && workers > 0; ++i) {
    PortConfig& port = config.ports[i];
    if (port.worker && *port.worker >= workers) {
      report.add(port.worker_mark, fmt::format("ports.{}.worker", port.name), fmt::format("{}", *port.worker),
                 fmt::format("0 to {}, a place in dataplane.workers", workers - 1));
    }
    if (!port.worker) port.worker = static_cast<unsigned>(i % workers);
  }
}

void read_user(Fields& fields, std::string_view key, UserName& user) {
  const auto place = fields.find(key);
  if (!place) return;
  if (auto name = place->read(scalar::name())) user = {std::move(*name), place->mark()};
}

RouterConfig read_root(const Place& root) {
  RouterConfig config;
  config.file = root.report().file();
  Fields fields(root);
  uint64_t version = 1;
  fields.read("version", scalar::integer(1, 1), version);
  fields.read("laboratory", scalar::boolean(), config.laboratory);
  if (const auto node = fields.need("node", "this node's name in topology.yaml")) {
    config.node = {node->read(scalar::name()).value_or(""), node->mark()};
  }
  read_file_path(fields, "identity", "the path of this node's secret key", config.file, config.identity_file,
                 config.identity_mark);
  read_file_path(fields, "topology", "the path of topology.yaml", config.file, config.topology_file,
                 config.topology_mark);
  read_sockets(fields, root, config);
  if (const auto place = fields.find("metrics")) read_metrics(*place, config.metrics);
  if (const auto place = fields.find("users")) {
    Fields users(*place);
    read_user(users, "control", config.users.control);
    read_user(users, "dataplane", config.users.dataplane);
  }
  if (const auto ports = fields.need("ports", "a map from names to ports")) {
    read_ports(*ports, config.ports);
  }
  if (const auto links = fields.need("links", "a map from names to links")) read_links(*links, config);
  if (const auto tun = fields.find("tun")) Fields(*tun).read("name", interface_name(), config.tun);
  if (const auto place = fields.find("dataplane")) read_dataplane(*place, config);
  if (const auto place = fields.find("rekey")) read_rekey(*place, config.rekey);
  if (const auto place = fields.find("circuits")) read_circuits(*place, config.laboratory, config.circuits);
  place_ports(root.report(), config);
  if (config.links.size() > config.dataplane.sizes.links) {
    root.report().add(config.links_mark, "links", fmt::format("{} links", config.links.size()),
                      fmt::format("at most dataplane.sizes.links, {}", config.dataplane.sizes.links));
  }
  return config;
}

std::expected<RouterConfig, ConfigErrors> finish(const std::optional<yaml::Node>& tree, Report& report) {
  RouterConfig config;
  if (tree) config = read_root(Place(*tree, "", {}, report));
  if (!report.empty()) return std::unexpected(report.take());
  return config;
}

}  // namespace

std::expected<RouterConfig, ConfigErrors> read_router(const std::string& path) {
  Report report(path);
  return finish(yaml::load(kRouterBudget, report), report);
}

std::expected<RouterConfig, ConfigErrors> parse_router(std::string_view text, const std::string& file) {
  Report report(file);
  return finish(yaml::parse(text, kRouterBudget, report), report);
}

}  // namespace sky
