// Puts sealed frames into their port's queues, and at the end of a turn hands these to the ports: control first, then
// realtime, then the rest. What a port does not take waits, at most 256 frames a queue; what comes when so many wait is
// dropped by name.
#pragma once

#include "dataplane/stages/context.h"

namespace sky::dataplane {

/// There is no room for the frame; what the port takes now may make some.
void queue_late(Context& context, uint16_t port, unsigned level, rte_mbuf* frame) noexcept;
/// A whole frame into its port's queue `level`.
inline void queue_frame(Context& context, uint16_t port, unsigned level, rte_mbuf* frame) noexcept {
  PortOutput& output = context.outputs[port];
  if (output.count[level] == PortOutput::kFrames) [[unlikely]]
    return queue_late(context, port, level, frame);
  output.frames[level][output.count[level]++] = frame;
}
/// Empties the batch.
void transmit(Context& context, Batch& batch) noexcept;
void flush(Context& context) noexcept;
/// Frames that wait for room in a port.
bool any_waiting(const Context& context) noexcept;

}  // namespace sky::dataplane
