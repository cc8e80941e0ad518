// A burst of packets on their way through the stages: plain data, one record of 64 bytes per packet.
#pragma once

#include <array>
#include <cstdint>

#include "dataplane/base/ids.h"
#include "dataplane/protocol/frame.h"
#include "dataplane/verdict.h"

struct rte_mbuf;

namespace sky::dataplane {

struct Link;
struct Session;
struct KeySlot;

/// Whose Datagrams end here.
struct End {
  SessionIndex session;
  uint16_t stream;  ///< the first
  uint8_t streams;  ///< how many
  uint8_t worker;   ///< who opens them
};

/// One packet. `data[length]` is the carrier payload (link header first) between receive and transmit, and the IP
/// packet between ingress's look-up and its sealing, and after egress's opening.
struct Slot {
  rte_mbuf* mbuf{};
  uint8_t* data{};
  Link* link{};        ///< arrived on; from `route` and `ingress` on: leaves by
  Session* session{};  ///< egress and ingress
  End end{};           ///< from `route` to `egress`: what its consume rule allows
  KeySlot* key{};      ///< open: receive key
  uint32_t member{};   ///< ingress: group << 3 | member slot
  uint16_t length{};
  uint16_t stream{};  ///< ingress: end-to-end stream
  Verdict verdict{};
  Drop drop{};          ///< why, where the verdict is drop
  uint8_t hop_limit{};  ///< of the frame that leaves
  uint8_t treatment{};  ///< class, least kind and queue (frame.h)
  Ecn ecn{};            ///< of the frame that leaves
  uint8_t port{};       ///< from `seal` on: leaves by
  uint16_t watched{};   ///< its number in what a control plane watches (stages/observe.h); 0: none
};
static_assert(sizeof(Slot) == 64);

inline constexpr unsigned kBurst = 64;

struct Batch {
  unsigned count = 0;
  std::array<Slot, kBurst> slots;

  Slot* begin() { return slots.data(); }
  Slot* end() { return slots.data() + count; }
  bool full() const { return count == kBurst; }
  Slot& add() { return slots[count++]; }
};

inline void drop(Slot& slot, Drop reason) {
  slot.verdict = Verdict::drop;
  slot.drop = reason;
}
/// The same, and the answer of whoever asks whether the packet goes on.
inline bool refuse(Slot& slot, Drop reason) {
  drop(slot, reason);
  return false;
}

inline constexpr uint8_t kControlQueue = 0;

inline Queue queue_of(uint8_t treatment) {
  return static_cast<Queue>(treatment & kTreatmentQueue);
}
/// The same treatment behind all that keeps to its rate.
inline uint8_t demoted(uint8_t treatment) {
  return static_cast<uint8_t>((treatment & ~kTreatmentQueue) | static_cast<uint8_t>(Queue::other));
}

}  // namespace sky::dataplane
