// The first look at a frame, before any crypto: the only length checks, what kind it is, which link it names. Sealed
// frames get a slot, with `link` set; handshake frames are rationed and punted; what is nobody's here is dropped before
// anything is written down about it, unless somebody watches.
// Cost: two cache lines (frame, link). Source: docs/protocol.md, "Frame".
#pragma once

#include <span>

#include "dataplane/stages/context.h"

namespace sky::dataplane {

/// `frames` came from that port, one at least and at most kBurst; `batch` is empty. Returns their bytes.
uint64_t classify(Context& context, PortIndex port, std::span<rte_mbuf* const> frames, Batch& batch) noexcept;

}  // namespace sky::dataplane
