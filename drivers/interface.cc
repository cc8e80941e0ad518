#include "drivers/interface.h"

#include <dirent.h>
#include <linux/ethtool.h>
#include <linux/if_tun.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <memory>

namespace sky::drivers {
namespace {

/// One ioctl on an interface; false and errno where it fails.
bool ask(const std::string& interface, unsigned long request, ifreq& argument) noexcept {
  std::strncpy(argument.ifr_name, interface.c_str(), IFNAMSIZ - 1);
  const int socket = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (socket < 0) return false;
  const bool done = ioctl(socket, request, &argument) == 0;
  const int error = errno;
  close(socket);
  errno = error;
  return done;
}

}  // namespace

Result<> check_interface_mtu(const std::string& interface, uint16_t mtu) {
  ifreq argument{};
  if (!ask(interface, SIOCGIFMTU, argument)) {
    return fail("interface {}: {}; ip link shows those that are there", interface, std::strerror(errno));
  }
  if (argument.ifr_mtu >= mtu) return {};
  return fail("interface {0}: found MTU {1}, wanted {2} or more: ip link set dev {0} mtu {2}", interface,
              argument.ifr_mtu, mtu);
}

bool interface_running(const std::string& interface) noexcept {
  ifreq argument{};
  return ask(interface, SIOCGIFFLAGS, argument) && (argument.ifr_flags & IFF_UP) != 0 &&
         (argument.ifr_flags & IFF_RUNNING) != 0;
}

Result<unsigned> interface_queues(const std::string& interface) {
  ethtool_channels channels{};
  channels.cmd = ETHTOOL_GCHANNELS;
  ifreq argument{};
  argument.ifr_data = reinterpret_cast<char*>(&channels);
  if (!ask(interface, SIOCETHTOOL, argument)) {
    if (errno == EOPNOTSUPP) return 1;
    return fail("interface {}: {}; ip link shows those that are there", interface, std::strerror(errno));
  }
  return std::max(1u, channels.combined_count + channels.rx_count);
}

Result<> set_interface_mac(const std::string& interface, const MacAddress& mac) {
  ifreq argument{};
  argument.ifr_hwaddr.sa_family = ARPHRD_ETHER;
  std::memcpy(argument.ifr_hwaddr.sa_data, mac.data(), mac.size());
  if (ask(interface, SIOCSIFHWADDR, argument)) return {};
  return fail("interface {}: takes no other MAC address: {}", interface, std::strerror(errno));
}

std::vector<int> open_descriptors() {
  std::vector<int> found;
  const std::unique_ptr<DIR, int (*)(DIR*)> directory(opendir("/proc/self/fd"), closedir);
  if (directory == nullptr) return found;
  while (const dirent* entry = readdir(directory.get())) {
    char* end = nullptr;
    const long descriptor = std::strtol(entry->d_name, &end, 10);
    if (end == entry->d_name || *end != '\0' || descriptor == dirfd(directory.get())) continue;
    found.push_back(static_cast<int>(descriptor));
  }
  std::ranges::sort(found);
  return found;
}

std::vector<int> opened_since(const std::vector<int>& before) {
  std::vector<int> opened;
  std::ranges::set_difference(open_descriptors(), before, std::back_inserter(opened));
  return opened;
}

bool is_socket_of(int descriptor, int family) noexcept {
  int domain = 0;
  socklen_t size = sizeof(domain);
  return getsockopt(descriptor, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 && domain == family;
}

bool is_queue_of(int descriptor, const std::string& interface) noexcept {
  ifreq argument{};
  return ioctl(descriptor, TUNGETIFF, &argument) == 0 && interface == argument.ifr_name;
}

}  // namespace sky::drivers
