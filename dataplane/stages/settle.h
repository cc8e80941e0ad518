// Acts on the verdicts of a batch: counts and frees drops, frees what ended here, moves Datagrams for this node to
// `egress`, and compacts the rest in order. The one place where a packet can leave a batch, so nothing leaks and each
// loss has one reason (what classify refuses never enters one). On exit every slot's verdict is `drop` again, so that
// the next stage must decide.
#pragma once

#include "dataplane/protocol/watch.h"
#include "dataplane/stages/context.h"

namespace sky::dataplane {

/// `stage` wrote the verdicts; `came` came into it, with those that it dropped itself. `egress` may be nullptr where no
/// stage gives that verdict; it must have room for the batch.
void settle(Context& context, Batch& batch, Stage stage, unsigned came, Batch* egress = nullptr) noexcept;
inline void settle(Context& context, Batch& batch, Stage stage, Batch* egress = nullptr) noexcept {
  settle(context, batch, stage, batch.count, egress);
}

}  // namespace sky::dataplane
