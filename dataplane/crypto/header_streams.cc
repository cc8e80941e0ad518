#include "dataplane/crypto/header_streams.h"

namespace sky::dataplane {

/// From that counter on, which is the first of a key's, or behind the last that was made.
void HeaderStreams::run_ahead(AeadEngine& engine, const KeySlot& key, uint64_t lane, uint64_t counter) noexcept {
  const uint64_t first = counter % kAhead, made = kAhead - first;
  if (generation_ != key.generation) {
    for (uint64_t next = counter; next < counter + kAhead; ++next)
      streams_[next % kAhead] = HeaderStream::counters(nonce(key, lane, next));
    generation_ = key.generation;
  }
  auto* const from = reinterpret_cast<uint8_t*>(&streams_[first]);
  engine.encrypt_blocks(key.key, {from, made * sizeof(HeaderStream)});
  end_ = counter + made;
}

}  // namespace sky::dataplane
