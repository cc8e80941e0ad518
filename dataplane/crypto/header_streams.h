// What AES-256-GCM adds to the frames of kind `header` that a lane is going to send. The stream of a message depends on
// its key and counter alone (NIST SP 800-38D, 7.1), and a lane's counters come one by one: so AES runs ahead, kAhead
// frames in one call, which keeps the CPU's units full, where a call for one short message mostly waits. Of a frame,
// only the hash is left to do.
//
// A stream is used once: then its place holds the counters that are to be encrypted next there. Every counter of the
// lane passes by, also those that frames of other kinds take. So who finds a stream under a key that is gone finds that
// of a counter which no frame ever had. Owned by the worker that seals on the lane. Cost: a line a frame.
#pragma once

#include <array>
#include <cstdint>

#include "dataplane/base/endian.h"
#include "dataplane/crypto/aead.h"
#include "dataplane/crypto/key_slot.h"
#include "dataplane/protocol/frame.h"

namespace sky::dataplane {

/// Of one frame: its counters, then what AES makes of them.
struct HeaderStream {
  __m128i tag;
  __m128i data[2];

  /// `nonce`: salt, lane and counter, 12 bytes.
  static HeaderStream counters(__m128i nonce) noexcept {
    const auto block = [nonce](uint32_t number) {
      return _mm_or_si128(nonce, _mm_set_epi32(static_cast<int>(byte_swap(number)), 0, 0, 0));
    };
    return {block(1), {block(2), block(3)}};
  }
  /// Seals what follows header and tag in place. The tag lacks the hash of what comes back.
  Hashed seal(__m128i header, uint8_t* frame) const noexcept {
    auto* const blocks = reinterpret_cast<__m128i*>(frame);  // header, tag, then data
    constexpr uint64_t kBits = 8 * sizeof(__m128i);
    const Hashed hashed{.associated = header,
                        .data = {_mm_xor_si128(_mm_loadu_si128(blocks + 2), data[0]),
                                 _mm_xor_si128(_mm_loadu_si128(blocks + 3), data[1])},
                        .bits = _mm_set_epi64x(byte_swap(2 * kBits), byte_swap(kBits))};
    _mm_storeu_si128(blocks + 1, tag);
    _mm_storeu_si128(blocks + 2, hashed.data[0]);
    _mm_storeu_si128(blocks + 3, hashed.data[1]);
    return hashed;
  }
};
static_assert(sizeof(LinkHeader) == sizeof(__m128i) && kTagBytes == sizeof(__m128i) &&
              kHeaderSealed == 2 * sizeof(__m128i));

class HeaderStreams {
 public:
  static constexpr uint64_t kAhead = 16;

  /// Seals a frame (HeaderStream) whose header, written already, is `header`. A key of AES-256-GCM, an engine that has
  /// halves; of the key's counters on this lane each one comes here or to pass(), in order.
  Hashed seal(AeadEngine& engine, const KeySlot& key, uint64_t lane, uint64_t counter, __m128i header,
              uint8_t* frame) noexcept {
    if (counter >= end_ || generation_ != key.generation) [[unlikely]]
      run_ahead(engine, key, lane, counter);
    HeaderStream& stream = streams_[counter % kAhead];
    const Hashed hashed = stream.seal(header, frame);
    stream = HeaderStream::counters(nonce(key, lane, counter + kAhead));
    return hashed;
  }
  /// The counter goes to another kind of frame.
  void pass(const KeySlot& key, uint64_t lane, uint64_t counter) noexcept {
    if (generation_ == key.generation)
      streams_[counter % kAhead] = HeaderStream::counters(nonce(key, lane, counter + kAhead));
  }

 private:
  void run_ahead(AeadEngine& engine, const KeySlot& key, uint64_t lane, uint64_t counter) noexcept;

  /// Made in registers: what is stored in parts and loaded whole has to wait.
  static __m128i nonce(const KeySlot& key, uint64_t lane, uint64_t counter) noexcept {
    uint32_t salt;
    static_assert(sizeof(salt) == sizeof(key.salt));
    std::memcpy(&salt, key.salt.data(), sizeof(salt));
    const uint64_t lane_counter = byte_swap(lane << 56 | counter);
    return _mm_set_epi64x(static_cast<int64_t>(lane_counter >> 32), static_cast<int64_t>(lane_counter << 32 | salt));
  }

  uint64_t generation_ = 0;  ///< of the key; 0: of none
  uint64_t end_ = 0;         ///< of the counters whose streams were made
  std::array<HeaderStream, kAhead> streams_{};
};

}  // namespace sky::dataplane
