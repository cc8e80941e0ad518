// Puts sealed frames into their port's queues, and at the end of a turn hands these to the ports: control first, then
// realtime, then the rest. What a port does not take waits, at most 256 frames a queue; what comes when so many wait is
// dropped by name.
#pragma once

#include "dataplane/stages/context.h"

namespace sky::dataplane {

/// A whole frame into its port's queue `level`.
void queue_frame(Context& context, uint16_t port, unsigned level, rte_mbuf* frame) noexcept;
/// Empties the batch.
void transmit(Context& context, Batch& batch) noexcept;
void flush(Context& context) noexcept;
/// Frames that wait for room in a port.
bool any_waiting(const Context& context) noexcept;

}  // namespace sky::dataplane
