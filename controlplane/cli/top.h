// What moves, one screen an interval: two readings of the API and what lies between them.
#pragma once

#include <cstdint>
#include <string>

#include "controlplane/cli/client.h"

namespace sky::controlplane {

/// Answers of GET /v1/WHAT, taken together.
struct Reading {
  uint64_t at_ns = 0;  ///< steady clock
  Json health, ports, queues, links, workers, drops, counters;
};

/// The screen. A counter that went back, as a dataplane's that was started anew, has no rate.
std::string top_text(const Reading& before, const Reading& now);

/// The same for a terminal of that size: over what stands there, cut to what fits.
std::string redrawn(const std::string& text, size_t rows, size_t columns);

/// Screens on standard output until a signal, redrawn where that is a terminal; with `once` one of them. What is not
/// answered is told and asked again, but for `once`. The reply that failed last, or an empty one.
Reply run_top(const ApiClient& client, uint64_t interval_ns, bool once);

}  // namespace sky::controlplane
