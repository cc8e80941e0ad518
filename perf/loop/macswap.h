// The least that can be done with a frame: taken from a port, its addresses swapped, given back to one. What this
// takes in the same topology, on the same frames, is the part of every limit that is no crypto.
#pragma once

#include <rte_mbuf.h>

#include <array>
#include <utility>

#include "dataplane/batch.h"
#include "drivers/port.h"

namespace sky::perf {

/// Returns how many.
inline uint16_t macswap(drivers::Port& from, drivers::Port& to) noexcept {
  std::array<rte_mbuf*, dataplane::kBurst> frames;
  const uint16_t count = from.rx_burst(0, frames.data(), dataplane::kBurst);
  for (unsigned i = 0; i < count; ++i) {
    auto& ethernet = *rte_pktmbuf_mtod(frames[i], EthernetHeader*);
    std::swap(ethernet.destination, ethernet.source);
  }
  return to.tx_burst(0, frames.data(), count);
}

}  // namespace sky::perf
