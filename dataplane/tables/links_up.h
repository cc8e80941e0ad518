// Which links are up, a bit each: what a worker tests before it takes a next hop or its alternate. A failure clears one
// bit, and from then on every packet takes the other way: nothing is rewritten and no table is walked. Beside the links
// themselves a bit would share its cache line with what their owners write all the time.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "dataplane/base/ids.h"

namespace sky::dataplane {

class LinksUp {
 public:
  bool test(LinkIndex link) const noexcept {
    return (words_[to_underlying(link) / kBits].load(std::memory_order_relaxed) >> to_underlying(link) % kBits & 1) !=
           0;
  }
  /// The link's owner; the main core for one that no worker sees.
  void set(LinkIndex link, bool up) noexcept {
    std::atomic<uint64_t>& word = words_[to_underlying(link) / kBits];
    const uint64_t bit = uint64_t{1} << to_underlying(link) % kBits;
    up ? word.fetch_or(bit, std::memory_order_relaxed) : word.fetch_and(~bit, std::memory_order_relaxed);
  }

 private:
  static constexpr unsigned kBits = 64;
  /// For every index there can be, kNoLink's among them: a look-up has no bound to check.
  std::array<std::atomic<uint64_t>, (size_t{1} << 16) / kBits> words_{};
};

}  // namespace sky::dataplane
