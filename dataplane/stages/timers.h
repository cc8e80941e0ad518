// What a worker does by the clock: liveness of the links it owns, probes of its groups' members. Packets that start
// here are added to `batch`, sealed and sent like any other.
#pragma once

#include "dataplane/stages/context.h"

namespace sky::dataplane {

/// Does what is due; returns when something is due next, at most `kMaxTimerGapNs` away.
uint64_t run_timers(Context& context, Batch& batch) noexcept;

inline constexpr uint64_t kMaxTimerGapNs = 100'000'000;

}  // namespace sky::dataplane
