#include "drivers/packet_socket.h"

#include <dirent.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <memory>

namespace sky::drivers {
namespace {

constexpr uint32_t kBlockBytes = 65536;
constexpr uint32_t kFrames = 1024;  ///< each way: 10 ms of 1420-byte packets at 1 Gb/s
// In front of a frame in its slot: tpacket2_hdr, sockaddr_ll, alignment; behind it a VLAN tag.
constexpr uint32_t kSlotOverhead = 96;
constexpr uint32_t kEthernetBytes = 18;
// More than a full transmit ring of any size charges to the socket.
constexpr int kSendBufferBytes = 256 << 20;

bool names_argument(const std::string& device, const char* argument) {
  return device.find(std::string(",") + argument + "=") != std::string::npos;
}

Result<> check_mtu(int socket, uint16_t mtu) {
  sockaddr_ll address{};
  socklen_t size = sizeof(address);
  ifreq request{};
  if (getsockname(socket, reinterpret_cast<sockaddr*>(&address), &size) != 0 ||
      if_indextoname(static_cast<unsigned>(address.sll_ifindex), request.ifr_name) == nullptr ||
      ioctl(socket, SIOCGIFMTU, &request) != 0) {
    return fail("packet socket without an interface: {}", std::strerror(errno));
  }
  if (request.ifr_mtu >= mtu) return {};
  return fail("interface {0}: found MTU {1}, wanted {2} or more: ip link set dev {0} mtu {2}", request.ifr_name,
              request.ifr_mtu, mtu);
}

}  // namespace

std::vector<int> packet_sockets() {
  std::vector<int> found;
  const std::unique_ptr<DIR, int (*)(DIR*)> directory(opendir("/proc/self/fd"), closedir);
  if (directory == nullptr) return found;
  while (const dirent* entry = readdir(directory.get())) {
    char* end = nullptr;
    const long descriptor = std::strtol(entry->d_name, &end, 10);
    int domain = 0;
    socklen_t size = sizeof(domain);
    if (end == entry->d_name || *end != '\0') continue;
    if (getsockopt(static_cast<int>(descriptor), SOL_SOCKET, SO_DOMAIN, &domain, &size) != 0) {
      continue;
    }
    if (domain == AF_PACKET) found.push_back(static_cast<int>(descriptor));
  }
  std::ranges::sort(found);
  return found;
}

std::string with_ring_arguments(const std::string& device, uint16_t mtu, uint16_t queues) {
  // A block holds whole frames without a gap, since the driver steps over blocks by frames.
  const uint32_t frame = std::bit_ceil(mtu + kEthernetBytes + kSlotOverhead);
  std::string result = device;
  const auto add = [&](const char* argument, uint32_t value) {
    if (!names_argument(device, argument)) result += fmt::format(",{}={}", argument, value);
  };
  add("qpairs", queues);
  add("blocksz", std::max(kBlockBytes, frame));
  add("framesz", frame);
  add("framecnt", kFrames);
  return result;
}

uint32_t frame_slot_bytes(const std::string& device_with_arguments) {
  const size_t at = device_with_arguments.find(",framesz=");
  return static_cast<uint32_t>(std::strtoul(device_with_arguments.c_str() + at + 9, nullptr, 10));
}

Result<> set_up_packet_socket(int socket, uint16_t mtu) {
  if (setsockopt(socket, SOL_SOCKET, SO_SNDBUFFORCE, &kSendBufferBytes, sizeof(int)) != 0) {
    return fail("cannot enlarge a packet socket's send buffer: {}; CAP_NET_ADMIN is needed", std::strerror(errno));
  }
  const int one = 1;
  if (setsockopt(socket, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof(one)) != 0) {
    return fail("a packet socket without PACKET_IGNORE_OUTGOING: {}; Linux 4.20 is needed", std::strerror(errno));
  }
  return check_mtu(socket, mtu);
}

}  // namespace sky::drivers
