// Packets of the control plane and the main core on their way out: taken from the worker's channel, written into fresh
// buffers. Those for keyed links go on to seal; handshake frames are finished here, unsealed as they must be.
#pragma once

#include "dataplane/stages/context.h"

namespace sky::dataplane {

/// Takes as many as fit the batch; true when any were waiting.
bool inject(Context& context, Batch& batch) noexcept;

}  // namespace sky::dataplane
