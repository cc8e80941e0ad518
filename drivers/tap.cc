#include "drivers/tap.h"

#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>

#include "drivers/interface.h"
#include "drivers/port.h"
#include "drivers/quiet_log.h"

namespace sky::drivers {
namespace {

/// A TAP has one while a process holds it. The flag IFF_RUNNING follows up to a second later.
bool has_carrier(const std::string& name) {
  std::ifstream file("/sys/class/net/" + name + "/carrier");
  int carrier = 0;
  return static_cast<bool>(file >> carrier) && carrier == 1;
}

/// What the driver will ask for, so that the reason of a refusal is told.
Result<> try_interface(const std::string& name) {
  if (has_carrier(name)) return fail("interface {}: found it in use, wanted a name of its own", name);
  const int descriptor = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
  if (descriptor < 0) return fail("/dev/net/tun: {}; load the module tun", std::strerror(errno));
  ifreq request{};
  std::strncpy(request.ifr_name, name.c_str(), IFNAMSIZ - 1);
  request.ifr_flags = static_cast<short>(IFF_TAP | IFF_MULTI_QUEUE);
  const bool done = ioctl(descriptor, TUNSETIFF, &request) == 0;
  const int error = errno;
  close(descriptor);
  if (done) return {};
  return fail(
      "interface {0}: {1}; wanted CAP_NET_ADMIN, and a name of its own or what is made by: "
      "ip tuntap add dev {0} mode tap multi_queue",
      name, std::strerror(error));
}

}  // namespace

SignalsTaken::SignalsTaken() {
  for (int number = SIGRTMIN; number <= SIGRTMAX; ++number) {
    struct sigaction action {};
    if (sigaction(number, nullptr, &action) != 0 || action.sa_handler != SIG_DFL) continue;
    action.sa_handler = SIG_IGN;
    if (sigaction(number, &action, nullptr) == 0) taken_.push_back(number);
  }
}

SignalsTaken::~SignalsTaken() {
  for (const int number : taken_) signal(number, SIG_DFL);
}

struct TapDriver::Making {
  SignalsTaken signals;
  QuietLog log{"pmd.net.tap", RTE_LOG_CRIT};
};

TapDriver::TapDriver(const PortConfig& config) : PortDriver(config) {}
TapDriver::~TapDriver() = default;

Result<std::string> TapDriver::prepare() {
  if (auto free = try_interface(device_.interface()); !free) return std::unexpected(free.error());
  making_ = std::make_unique<Making>();
  return config_.device;
}

int TapDriver::wait_descriptor(uint16_t, std::span<const int> opened) const {
  const auto queue = std::ranges::find_if(opened, [&](int each) { return is_queue_of(each, device_.interface()); });
  return queue == opened.end() ? -1 : *queue;
}

Result<> TapDriver::start(uint16_t id) {
  auto done = PortDriver::start(id);
  making_.reset();
  return done;
}

Result<> TapDriver::started(uint16_t id) {
  if (const int error = rte_eth_dev_set_mtu(id, config_.mtu); error != 0) {
    return fail("takes no MTU of {}: {}", config_.mtu, rte_strerror(-error));
  }
  rte_ether_addr ours;
  rte_eth_macaddr_get(id, &ours);
  MacAddress kernels;
  std::memcpy(kernels.data(), ours.addr_bytes, kernels.size());
  kernels[4] ^= 1;  // not the last byte: lanes may stand there
  return set_interface_mac(device_.interface(), kernels);
}

}  // namespace sky::drivers
