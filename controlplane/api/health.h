// Is this node well, and if not, what to look at next.
#pragma once

#include "controlplane/api/views.h"

namespace sky::controlplane {

inline constexpr uint64_t kHangNs = 800'000'000;  ///< a heartbeat this old: a hang

/// {"status": "ok" or "unhealthy", who and since when, "faults": [{"fault", "next"}]}; `next` is the command to type.
Json health_view(const ViewContext& context);

}  // namespace sky::controlplane
