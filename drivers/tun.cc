#include "drivers/tun.h"

#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace sky::drivers {

Result<std::unique_ptr<Tun>> Tun::open(const std::string& name) {
  ifreq request{};
  if (name.empty() || name.size() >= sizeof(request.ifr_name)) {
    return fail("tun: found name \"{}\", wanted 1 to {} bytes", name, sizeof(request.ifr_name) - 1);
  }
  const int descriptor = ::open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (descriptor < 0) {
    return fail("tun {}: /dev/net/tun: {}; load the module tun and run with CAP_NET_ADMIN", name, std::strerror(errno));
  }
  std::unique_ptr<Tun> tun(new Tun(descriptor));
  std::memcpy(request.ifr_name, name.data(), name.size());
  // TUN_EXCL: never join a device that someone else made.
  request.ifr_flags = static_cast<short>(IFF_TUN | IFF_NO_PI | IFF_TUN_EXCL);
  if (ioctl(descriptor, TUNSETIFF, &request) != 0) {
    return fail("tun {}: {}; is the name taken, or CAP_NET_ADMIN missing?", name, std::strerror(errno));
  }
  return tun;
}

Tun::~Tun() {
  close(descriptor_);
}

size_t Tun::read(std::span<uint8_t> out) noexcept {
  const ssize_t size = ::read(descriptor_, out.data(), out.size());
  return size > 0 ? static_cast<size_t>(size) : 0;
}

bool Tun::write(std::span<const uint8_t> packet) noexcept {
  return ::write(descriptor_, packet.data(), packet.size()) == static_cast<ssize_t>(packet.size());
}

}  // namespace sky::drivers
