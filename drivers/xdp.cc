#include "drivers/xdp.h"

#include <bpf/libbpf.h>
#include <net/if.h>
#include <rte_config.h>
#include <rte_eal.h>
#include <rte_mbuf_core.h>
#include <sys/socket.h>
#include <xdp/libxdp.h>

#include <algorithm>
#include <array>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "dataplane/base/log.h"
#include "drivers/interface.h"
#include "drivers/port.h"

namespace sky::drivers {
namespace {

constexpr uint32_t kKernelHeadroom = 256;  ///< XDP_PACKET_HEADROOM
constexpr uint32_t kLeastPiece = 2048;
constexpr uint32_t kBeforeData = 64 + sizeof(rte_mbuf) + RTE_PKTMBUF_HEADROOM;  ///< the pool's header first
/// Of the driver: frames that it lends to the kernel, and the ring of those that were sent.
constexpr uint32_t kFillFrames = 2048;
constexpr uint32_t kSentFrames = 2048;

/// What libbpf and libxdp tell: a driver that fails says so itself.
int write_log(int level, const char* format, va_list arguments) {
  if (level > LIBXDP_WARN) return 0;
  std::array<char, 256> text;
  const int size = vsnprintf(text.data(), text.size(), format, arguments);
  std::string_view line(text.data());
  while (line.ends_with('\n')) line.remove_suffix(1);
  log_info("{}", line);
  return size;
}

void redirect_log() {
  libbpf_set_print([](libbpf_print_level level, const char* format, va_list arguments) {
    return write_log(static_cast<int>(level), format, arguments);
  });
  libxdp_set_print([](libxdp_print_level level, const char* format, va_list arguments) {
    return write_log(static_cast<int>(level), format, arguments);
  });
}

/// libxdp's own program: frames of a queue to its socket. Empty where it is not installed.
std::string program_file() {
  const char* named = std::getenv("LIBXDP_OBJECT_PATH");
  for (const char* folder : {named == nullptr ? "" : named, "/usr/lib/x86_64-linux-gnu/bpf", "/usr/lib/bpf"}) {
    const std::filesystem::path file = std::filesystem::path(folder) / "xsk_def_xdp_prog.o";
    std::error_code error;
    if (file.is_absolute() && std::filesystem::exists(file, error)) return file;
  }
  return "";
}

void take_program_off(const std::string& interface) {
  const int index = static_cast<int>(if_nametoindex(interface.c_str()));
  uint32_t program = 0;
  if (bpf_xdp_query_id(index, 0, &program) != 0 || program == 0) return;
  log_info("interface {}: XDP program {} is taken off", interface, program);
  bpf_xdp_detach(index, 0, nullptr);
}

}  // namespace

PortNeeds XdpDriver::needs() const {
  return {.frame_bytes = std::max(kKernelHeadroom + config_.mtu + kEthernetBytes, kLeastPiece - kBeforeData),
          .buffers = kFillFrames + kSentFrames + Port::kDescriptors,
          .one_piece = true};
}

Result<std::string> XdpDriver::prepare() {
  const std::string interface = device_.interface();
  if (auto fits = check_interface_mtu(interface, config_.mtu); !fits) return std::unexpected(fits.error());
  const auto found = interface_queues(interface);
  if (!found) return std::unexpected(found.error());
  // Whoever names a queue has steered frames there himself.
  if (*found != 1 && device_.find("start_queue") == nullptr) {
    return fail("interface {0}: found {1} queues, wanted one, since no one reads the others: ethtool -L {0} combined 1",
                interface, *found);
  }
  redirect_log();
  std::string whole = config_.device;
  const std::string program = device_.find("xdp_prog") == nullptr ? program_file() : "";
  if (!program.empty()) whole += ",xdp_prog=" + program;
  if (!program.empty() || device_.find("xdp_prog") != nullptr) take_program_off(interface);
  // Without hugepages a buffer may lie in two pages that are not neighbours, which no NIC can write.
  if (rte_eal_has_hugepages() == 0 && device_.find("force_copy") == nullptr) whole += ",force_copy=1";
  return whole;
}

std::string XdpDriver::queue_needs() const {
  return "CAP_NET_RAW, CAP_NET_ADMIN, CAP_BPF, and CAP_IPC_LOCK or LimitMEMLOCK=infinity";
}

int XdpDriver::wait_descriptor(uint16_t, std::span<const int> opened) const {
  const auto socket = std::ranges::find_if(opened, [](int each) { return is_socket_of(each, AF_XDP); });
  return socket == opened.end() ? -1 : *socket;
}

bool XdpDriver::link_up(uint16_t) const noexcept {
  return interface_running(device_.interface());
}

}  // namespace sky::drivers
