#include "dataplane/base/device.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <regex>

#include "dataplane/base/config_error.h"

namespace sky {
namespace {

struct Need {
  std::string_view argument;
  std::string_view wanted;
};

/// An argument that must not be there, or not with this value ("" for any).
struct Refusal {
  std::string_view argument;
  std::string_view value;
  std::string_view wanted;
};

struct Driver {
  std::string_view name;
  DeviceKind kind;
  std::vector<std::string> arguments;
  std::vector<Need> needs;
  std::vector<Refusal> refusals;
};

constexpr std::string_view kQueues = "none: dataplane.workers says how many queues there are";

const std::vector<Driver>& drivers() {
  static const std::vector<Driver> all{
      {"net_af_packet",
       DeviceKind::packet_socket,
       {"iface", "qpairs", "blocksz", "framesz", "framecnt", "qdisc_bypass"},
       {{"iface", "iface=INTERFACE"}},
       {{"qpairs", "", kQueues}}},
      {"net_af_xdp",
       DeviceKind::xdp,
       {"iface", "start_queue", "queue_count", "shared_umem", "xdp_prog", "busy_budget", "force_copy"},
       {{"iface", "iface=INTERFACE"}},
       {{"queue_count", "", kQueues},
        {"shared_umem", "", "none: each port has its own memory"},
        // The driver's only other way to wait for a frame holds the worker for up to a second.
        {"busy_budget", "0", "a budget above 0"}}},
      {"net_tap",
       DeviceKind::tap,
       {"iface", "remote", "mac", "persist"},
       {{"iface", "iface=NAME of the interface that it makes"}},
       {{"remote", "", "net_af_packet0,iface=INTERFACE for a port on an interface that is there"}}},
      {"net_memif",
       DeviceKind::memif,
       {"id", "role", "bsize", "rsize", "socket", "socket-abstract", "mac", "zero-copy", "secret"},
       {{"role", "role=server or role=client"}, {"socket", "socket=/PATH, the same at both ends"}},
       {{"socket-abstract", "yes", "no: everybody may connect to an abstract socket"},
        {"zero-copy", "yes", "no: it shows the peer all buffers of this process"}}}};
  return all;
}

/// "net_tap" of "net_tap0"; empty without a number.
std::string_view driver_name(std::string_view device_name) {
  const size_t end = device_name.find_last_not_of("0123456789");
  return end == std::string_view::npos || end + 1 == device_name.size() ? "" : device_name.substr(0, end + 1);
}

const Driver* find_driver(std::string_view name) {
  const auto found = std::ranges::find(drivers(), name, &Driver::name);
  return found == drivers().end() ? nullptr : &*found;
}

std::string written(const std::string& argument, const std::string& value) {
  return value.empty() ? argument : argument + "=" + value;
}

std::optional<DeviceFault> check_memif(const Device& device) {
  constexpr std::string_view kRoles[] = {"server", "client", "master", "slave"};
  if (const std::string& role = *device.find("role"); std::ranges::find(kRoles, role) == std::end(kRoles)) {
    return DeviceFault{written("role", role), "role=server or role=client"};
  }
  const std::string& socket = *device.find("socket");
  constexpr size_t kMostPathBytes = 107;  // of sockaddr_un
  if (!socket.starts_with('/') || socket.size() > kMostPathBytes) {
    return DeviceFault{written("socket", socket), fmt::format("a whole path of at most {} bytes", kMostPathBytes)};
  }
  return std::nullopt;
}

}  // namespace

const std::string* Device::find(std::string_view argument) const {
  const auto found = std::ranges::find(arguments, argument, &std::pair<std::string, std::string>::first);
  return found == arguments.end() ? nullptr : &found->second;
}

std::string Device::interface() const {
  const std::string* value = find("iface");
  return value == nullptr ? "" : *value;
}

bool is_pci_address(std::string_view device) {
  static const std::regex pattern("([0-9a-fA-F]{4}:)?[0-9a-fA-F]{2}:[0-9a-fA-F]{2}\\.[0-7](,.*)?");
  return std::regex_match(device.begin(), device.end(), pattern);
}

Device parse_device(std::string_view text) {
  Device device;
  device.name = text.substr(0, text.find(','));
  if (is_pci_address(text)) device.kind = DeviceKind::nic;
  if (const Driver* driver = find_driver(driver_name(device.name))) device.kind = driver->kind;
  while (text.find(',') != std::string_view::npos) {
    text.remove_prefix(text.find(',') + 1);
    const std::string_view word = text.substr(0, text.find(','));
    const size_t equals = word.find('=');
    device.arguments.emplace_back(word.substr(0, equals),
                                  equals == std::string_view::npos ? "" : word.substr(equals + 1));
  }
  return device;
}

uint16_t most_mtu(DeviceKind kind) {
  switch (kind) {
    // A page, without what stands in front of a frame: the pool's and the buffer's header, two headrooms, Ethernet
    // with a VLAN tag.
    case DeviceKind::xdp:
      return 4096 - 64 - 128 - 128 - 256 - 18;
    // The driver sends no frame longer than 1522 bytes.
    case DeviceKind::tap:
      return 1500;
    default:
      return 9216;
  }
}

std::optional<DeviceFault> check_device(const Device& device) {
  const std::string_view driver_of_name = driver_name(device.name);
  const Driver* driver = find_driver(driver_of_name);
  if (driver == nullptr) {
    const Driver* unnumbered = find_driver(device.name);
    if (unnumbered == nullptr) return std::nullopt;
    return DeviceFault{quote(device.name), fmt::format("a number behind the name: {}0", device.name)};
  }
  for (const auto& [argument, value] : device.arguments) {
    if (std::ranges::find(driver->arguments, argument) == driver->arguments.end()) {
      const std::string near = nearest(argument, driver->arguments);
      return DeviceFault{fmt::format("the argument {}", quote(argument)),
                         near.empty() ? fmt::format("one of {}", fmt::join(driver->arguments, ", ")) : near};
    }
  }
  for (const Need& need : driver->needs) {
    const std::string* value = device.find(need.argument);
    if (value == nullptr || value->empty()) {
      return DeviceFault{fmt::format("no {}", need.argument), std::string(need.wanted)};
    }
  }
  for (const Refusal& refusal : driver->refusals) {
    const std::string* value = device.find(refusal.argument);
    if (value != nullptr && (refusal.value.empty() || *value == refusal.value)) {
      return DeviceFault{written(std::string(refusal.argument), *value), std::string(refusal.wanted)};
    }
  }
  constexpr size_t kMostInterfaceBytes = 15;
  if (device.interface().size() > kMostInterfaceBytes) {
    return DeviceFault{written("iface", device.interface()),
                       fmt::format("an interface name of at most {} bytes", kMostInterfaceBytes)};
  }
  return driver->kind == DeviceKind::memif ? check_memif(device) : std::nullopt;
}

}  // namespace sky
