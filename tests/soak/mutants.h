// Frames made of good ones by flipped bits, cut tails, spliced halves and random fields.
#pragma once

#include <random>
#include <vector>

#include "tests/support/bytes.h"

namespace sky::soak {

class Mutator {
 public:
  explicit Mutator(uint64_t seed) : random_(seed) {}

  test::Bytes mutant(const std::vector<test::Bytes>& corpus) {
    test::Bytes frame = corpus[below(corpus.size())];
    for (uint64_t changes = 1 + below(4); changes > 0; --changes) change(frame, corpus);
    return frame;
  }
  uint64_t below(uint64_t end) { return random_() % end; }

 private:
  void change(test::Bytes& frame, const std::vector<test::Bytes>& corpus) {
    constexpr size_t kHeaders = 14 + 16 + 16 + 7;
    switch (below(6)) {
      case 0:
        frame.resize(below(frame.size() + 1));
        break;
      case 1:
        for (uint64_t more = below(64); more > 0 && frame.size() < kMost; --more) frame.push_back(byte());
        break;
      case 2: {
        const test::Bytes& tail = corpus[below(corpus.size())];
        const size_t at = below(std::min(frame.size(), tail.size()) + 1);
        frame.resize(at);
        frame.insert(frame.end(), tail.begin() + static_cast<ptrdiff_t>(at), tail.end());
        break;
      }
      case 3:
        if (!frame.empty()) frame[below(std::min(frame.size(), kHeaders))] = byte();
        break;
      default:
        if (!frame.empty()) frame[below(frame.size())] ^= static_cast<uint8_t>(1u << below(8));
    }
  }
  uint8_t byte() { return static_cast<uint8_t>(random_()); }

  static constexpr size_t kMost = 1'520;
  std::mt19937_64 random_;
};

}  // namespace sky::soak
