// What a port's `device:` says: a PCI address, or one of DPDK's software drivers with a number and arguments
// ("net_tap0,iface=tap0"). DPDK's drivers take unknown arguments for none and fail late, in words of their own; so what
// this process knows of them is checked here, before DPDK starts. Drivers that are not named here pass as they are.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace sky {

enum class DeviceKind : uint8_t { nic, packet_socket, xdp, tap, memif, other };

struct Device {
  DeviceKind kind = DeviceKind::other;
  std::string name;                                            ///< of the device: what stands before the first comma
  std::vector<std::pair<std::string, std::string>> arguments;  ///< in order; the value of one without "=" is empty

  /// The argument's value, or nullptr.
  const std::string* find(std::string_view argument) const;
  /// The Linux interface it drives or makes; empty where there is none.
  std::string interface() const;
};

bool is_pci_address(std::string_view device);
Device parse_device(std::string_view text);

/// Bytes behind the Ethernet header that the driver carries at most.
uint16_t most_mtu(DeviceKind kind);

struct DeviceFault {
  std::string found;
  std::string wanted;
};
/// The first thing that the driver could not start with, or that would lose or give away frames.
std::optional<DeviceFault> check_device(const Device& device);

}  // namespace sky
