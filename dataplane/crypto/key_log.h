// Told of each key as it gets into its slot: in laboratories alone, where what a capture holds is to be opened later
// (docs/operations.md, "Frames in Wireshark"). Main core.
#pragma once

#include <functional>

#include "dataplane/base/ids.h"
#include "dataplane/crypto/key_chain.h"

namespace sky::dataplane {

/// `epoch`: as a link writes it; `slot` is a session's.
struct LoggedKey {
  const EpochKey& key;
  Suite suite;
  uint8_t epoch;
  uint8_t slot;
};
using KeyListener = std::function<void(const LoggedKey&)>;

}  // namespace sky::dataplane
