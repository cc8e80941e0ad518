// What a worker does by the clock: liveness of the links it owns, probes of its groups' members. Packets that start
// here are added to `batch`, sealed and sent like any other.
//
// Links and groups are walked by themselves, each in the order of the tables. A turn's part of a walk ends after
// kMostTended indices, few of which are free, or with a full batch. Where there are more, the next part waits until
// this one was a twentieth of the time: so many links make their walk slow, and no packet waits for it.
#pragma once

#include "dataplane/stages/context.h"

namespace sky::dataplane {

/// Does what is due; returns when something is due next, at most `kMaxTimerGapNs` away.
uint64_t run_timers(Context& context, Batch& batch) noexcept;
/// What is walked, or a deadline in it, became another one: both are walked from now on, or once more.
void restart_timers(Context& context) noexcept;

inline constexpr uint64_t kMaxTimerGapNs = 100'000'000;
inline constexpr unsigned kMostTended = 256;
/// Between two parts: one that took longer than a twentieth of this was held up by the machine.
inline constexpr uint64_t kMostRestNs = 1'000'000;

}  // namespace sky::dataplane
