// An engine that encrypts nothing: it expands a key to itself, over and over, so that a test can tell which key lies in
// a slot, and whether all of it does.
#pragma once

#include <algorithm>
#include <array>

#include "dataplane/crypto/aead.h"

namespace sky::dataplane {

class PatternEngine final : public AeadEngine {
 public:
  using Key = std::array<uint8_t, kAeadKeyBytes>;

  void expand(Suite, std::span<const uint8_t, kAeadKeyBytes> key, AeadKey& out) const noexcept override {
    for (size_t i = 0; i < out.expanded.size(); ++i) out.expanded[i] = key[i % kAeadKeyBytes];
  }
  void seal(std::span<AeadOp>) noexcept override {}
  void open(std::span<AeadOp>) noexcept override {}

  static Key key_in(const AeadKey& expanded) {
    Key key;
    std::copy_n(expanded.expanded.begin(), key.size(), key.begin());
    return key;
  }
  static bool whole(const AeadKey& expanded) {
    for (size_t i = kAeadKeyBytes; i < expanded.expanded.size(); ++i) {
      if (expanded.expanded[i] != expanded.expanded[i - kAeadKeyBytes]) return false;
    }
    return true;
  }
};

}  // namespace sky::dataplane
