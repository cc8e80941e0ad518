// Signals that end what would go on for ever, and not the process: it has something to clear up.
#pragma once

namespace sky::controlplane {

/// From now on SIGINT, SIGTERM and SIGPIPE are only remembered.
void stop_on_signals();
/// One of them came.
bool interrupted();

}  // namespace sky::controlplane
