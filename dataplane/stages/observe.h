// Copies packets for whoever watches (dataplane/watch.h): those that match, from then on at each point that was asked
// for, into the worker's ring; without room the copy is counted as missed and the packet goes its way all the same.
// Changes nothing of a packet but its number. Only to be called while `context.watch` is set; that test is all that a
// turn costs when nobody looks.
#pragma once

#include "dataplane/protocol/watch.h"
#include "dataplane/stages/context.h"

namespace sky::dataplane {

/// Behind `stage`, whose verdicts nobody acted on yet.
void observe(Context& context, Batch& batch, Stage stage) noexcept;
/// Before seal, behind which nobody can tell any more what a packet is; no copies.
void observe_made(Context& context, Batch& batch) noexcept;
/// A frame that came in, before anything was done to it.
void observe_received(Context& context, PortIndex port, Slot& slot) noexcept;
/// A frame that the port did not take.
void observe_refused(Context& context, PortIndex port, rte_mbuf* frame) noexcept;
/// A handshake frame that leaves.
void observe_handshake(Context& context, PortIndex port, rte_mbuf* frame) noexcept;
/// An IP packet that was held in vain.
void observe_expired(Context& context, rte_mbuf* packet) noexcept;

}  // namespace sky::dataplane
