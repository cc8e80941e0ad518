// End-to-end probes of circuits. The ingress sends a Ping on each member of its groups, the far end's worker answers
// with a Pong on the circuit's other direction; as many lost in a row as its group says take the member out of use,
// three answered in a row bring it back. A group that nobody uses is probed at a twentieth of the rate.
// Source: docs/protocol.md, "Circuit probes".
#pragma once

#include "dataplane/stages/context.h"

namespace sky::dataplane {

/// The second word of a Ping's payload: who asked. The control plane's own have the high bit set.
inline constexpr uint64_t kControlPlanePing = uint64_t{1} << 63;

struct ProbePayload {
  Be64 sent_ns;
  Be64 asker;  ///< group << 3 | slot, or kControlPlanePing and its own
};

/// Turns the Ping round: the same buffer leaves as a Pong.
void answer_ping(Context& context, RuleHead rule, Slot& slot) noexcept;
/// Counts the answer for its member, or punts it to the control plane that asked.
void take_pong(Context& context, RouteId consume, Slot& slot) noexcept;
/// Judges the group's members and adds the Pings that are due; returns when to look again.
uint64_t probe_group(Context& context, Group& group, Batch& batch) noexcept;

}  // namespace sky::dataplane
