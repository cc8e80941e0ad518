// What DPDK's net_af_packet driver leaves to be done around it. It opens one AF_PACKET socket per
// queue when its device is probed and tells nobody; they are found among this process's
// descriptors, so that a worker can sleep on them and they can be set up in full.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "dataplane/base/result.h"

namespace sky::drivers {

/// The AF_PACKET sockets that this process holds, ascending.
std::vector<int> packet_sockets();

/// `device` with the driver's ring arguments that it does not name itself: frames of `mtu` bytes.
std::string with_ring_arguments(const std::string& device, uint16_t mtu, uint16_t queues);
/// Bytes of one frame slot under these arguments: what a packet buffer must be able to take.
uint32_t frame_slot_bytes(const std::string& device_with_arguments);

/// After this the host's own outgoing frames are not seen, and the driver's transmit call never waits (it would in
/// poll(2) once the send buffer is half full). Fails where the interface takes less than `mtu` bytes.
Result<> set_up_packet_socket(int socket, uint16_t mtu);

}  // namespace sky::drivers
