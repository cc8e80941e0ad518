// The first look at a frame, before any crypto: the only length checks, what kind it is, which link it names. Sealed
// frames go on with `link` set; handshake frames are rationed and punted.
// On entry: data[length] is the whole Ethernet frame. After: the carrier payload. Cost: two cache lines (frame, link).
// Source: docs/protocol.md, "Frame".
#pragma once

#include "dataplane/stages/context.h"

namespace sky::dataplane {

void classify(Context& context, PortIndex port, Batch& batch) noexcept;

}  // namespace sky::dataplane
