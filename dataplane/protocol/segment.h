// The three memfds of the contract and how they are handed over (docs/protocol.md, "Contract").
//
// The control plane connects to RUNTIME/dataplane.sock (SOCK_SEQPACKET), sends AttachRequest and gets AttachReply with
// five descriptors: rings, control packets, counters (read-only), the doorbell it rings, the doorbell it listens to.
// Doorbells are ends of socket pairs (doorbell.h), whose other ends the dataplane keeps.
// Rings and control packets are made anew for each attachment, so a former owner's mapping reaches nothing; the
// counters live as long as the dataplane. Ownership lasts as long as the socket.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "dataplane/protocol/control_packet.h"
#include "dataplane/protocol/install.h"
#include "dataplane/protocol/shm_ring.h"
#include "dataplane/protocol/watch.h"

namespace sky {

inline constexpr uint64_t kSegmentMagic = 0x31656764'6579'6b73;  // "skyedge1", little-endian
inline constexpr uint32_t kAbiVersion = 1;

inline constexpr uint32_t kInstallSlots = 16384;
inline constexpr uint32_t kAckSlots = 16384;  ///< acks and dump rows
inline constexpr uint32_t kEventSlots = 4096;
inline constexpr uint32_t kPacketSlots = 512;  ///< each way

/// What both sides must agree on before either believes a word of the other.
struct AbiSizes {
  uint32_t abi_version = kAbiVersion;
  uint32_t message_bytes = sizeof(InstallMessage);
  uint32_t slot_bytes = sizeof(ControlPacket);
  uint32_t rule_bytes = sizeof(Rule);
  uint32_t install_slots = kInstallSlots;
  uint32_t ack_slots = kAckSlots;
  uint32_t event_slots = kEventSlots;
  uint32_t packet_slots = kPacketSlots;
  uint32_t seen_slots = kSeenSlots;
  bool operator==(const AbiSizes&) const = default;
};

struct AttachRequest {
  uint64_t magic = kSegmentMagic;
  AbiSizes sizes;
};

enum class AttachStatus : uint32_t { ok = 0, wrong_magic = 1, wrong_abi = 2, not_allowed = 3 };

struct AttachReply {
  uint64_t magic = kSegmentMagic;
  AbiSizes sizes;
  AttachStatus status{};
  uint32_t suites{};   ///< Suites that this dataplane seals with
  uint64_t boot_id{};  ///< random, of this run of the dataplane
  uint64_t fence{};    ///< rises with each attachment; a batch with another is refused
  uint64_t counters_bytes{};
};

/// Order of the descriptors that come with an AttachReply.
enum AttachDescriptor { kRingsFd, kPacketsFd, kCountersFd, kDoorbellDownFd, kDoorbellUpFd, kAttachFds };

/// The first memfd.
struct RingsSegment {
  ShmRingPositions install_positions;
  ShmRingPositions ack_positions;
  ShmRingPositions event_positions;
  alignas(4096) std::array<InstallMessage, kInstallSlots> install;
  std::array<InstallMessage, kAckSlots> ack;
  std::array<InstallMessage, kEventSlots> event;
};

/// The second memfd.
struct PacketsSegment {
  ShmRingPositions down_positions;
  ShmRingPositions up_positions;
  ShmRingPositions seen_positions;
  alignas(4096) std::array<ControlPacket, kPacketSlots> down;
  std::array<ControlPacket, kPacketSlots> up;
  std::array<SeenPacket, kSeenSlots> seen;  ///< up: records of what is watched
};

}  // namespace sky
