// What a stage decides about one packet. The zero verdict is a drop, so that forgetting is safe.
#pragma once

#include <cstdint>

#include "dataplane/protocol/counters.h"

namespace sky::dataplane {

enum class Verdict : uint8_t {
  drop = 0,   ///< freed, counted under Slot::drop
  next,       ///< goes on to the next stage
  egress,     ///< a Datagram that ends here: opened end to end, then delivered
  consumed,   ///< ended in this worker (liveness, probes): freed, counted as delivered_local
  delivered,  ///< written to the TUN: freed, counted as delivered_tun
  punted,     ///< copied to the main core: freed, counted
  held,       ///< waits in its group for a circuit; no longer this batch's
  handed,     ///< another worker goes on with it; no longer this batch's
};

}  // namespace sky::dataplane
