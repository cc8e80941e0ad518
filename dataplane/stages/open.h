// Opens a burst of sealed frames: finds the key by link and epoch, looks at the replay window, authenticates and
// decrypts all in one pass, then tests and sets the window in frame order. On entry: `link` is set. After: the packet
// is plain and authentic, and the link was heard. Cost: a key (16 lines), a word of the window, the frame's bytes.
// Source: docs/protocol.md, "Frame" and "Keys".
#pragma once

#include "dataplane/stages/context.h"

namespace sky::dataplane {

void open(Context& context, Batch& batch) noexcept;

}  // namespace sky::dataplane
