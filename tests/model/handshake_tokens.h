// The model's rations of handshake frames (docs/protocol.md, "Frame"). The model's node calls nobody, so nobody has a
// ration as one who was called.
#pragma once

#include <algorithm>
#include <optional>
#include <utility>

#include "tests/support/bytes.h"

namespace sky::test {

/// A token each period, `burst` at most and at first.
struct HandshakeTokens {
  std::optional<uint64_t> filled_ns;
  uint64_t at_ns = 0;

  bool take(uint64_t period_ns, uint64_t burst, uint64_t now_ns) {
    const uint64_t most_ns = period_ns * burst;
    filled_ns = std::min(most_ns, filled_ns.value_or(most_ns) + now_ns - std::exchange(at_ns, now_ns));
    if (*filled_ns < period_ns) return false;
    *filled_ns -= period_ns;
    return true;
  }
};

inline bool carries_a_proof(const Bytes& message) {
  if (message.empty()) return false;
  if (message[0] == 1 && message.size() == 168) return part(message, 152, 16) != Bytes(16);
  return (message[0] == 2 && message.size() == 124) || (message[0] == 3 && message.size() == 68);
}

}  // namespace sky::test
