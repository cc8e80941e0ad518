// What a port wants of the Linux interface that its driver sits on, by name: a few ioctls. Errors name the command that
// mends it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "dataplane/base/ids.h"
#include "dataplane/base/result.h"

namespace sky::drivers {

/// Fails where the interface is missing or takes less than `mtu` bytes.
Result<> check_interface_mtu(const std::string& interface, uint16_t mtu);
/// Up and with a carrier.
bool interface_running(const std::string& interface) noexcept;
/// Receive queues that have a ring of their own; 1 where the interface knows no such thing.
Result<unsigned> interface_queues(const std::string& interface);
Result<> set_interface_mac(const std::string& interface, const MacAddress& mac);

/// This process's open descriptors, ascending: drivers open theirs and tell nobody.
std::vector<int> open_descriptors();
std::vector<int> opened_since(const std::vector<int>& before);
/// A socket of this address family.
bool is_socket_of(int descriptor, int family) noexcept;
/// A queue of this TUN or TAP interface.
bool is_queue_of(int descriptor, const std::string& interface) noexcept;

}  // namespace sky::drivers
