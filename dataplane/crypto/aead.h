// The AEADs (AES-256-GCM, ChaCha20-Poly1305) over a whole burst: operations hold bytes, never packet buffers, and an
// engine does all of them in one pass. An engine's scratch belongs to one thread: one engine per worker and one for the
// main core.
//
// On entry: every pointer of an operation is valid for its length; `data` may have any alignment
// and any length up to kAeadMaxBytes, 0 included; no two operations of a burst overlap. After seal:
// data is ciphertext, tag is written, `authentic` is true. After open: `authentic` says whether the
// tag held (compared in constant time); data is plaintext when it did and of no meaning when it did
// not. Cost: one virtual call per burst, no allocation. Source: NIST SP 800-38D, RFC 8439;
// docs/protocol.md, "Frame".
#pragma once

#include <emmintrin.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <exception>
#include <span>

#include "dataplane/base/ids.h"

namespace sky::dataplane {

inline constexpr size_t kAeadKeyBytes = 32;
inline constexpr size_t kAeadTagBytes = 16;
inline constexpr size_t kAeadNonceBytes = 12;
inline constexpr uint32_t kAeadMaxBytes = 65535;

/// An expanded key: the storage that every engine expands into. What lies in it depends on the
/// engine and on the CPU, so one process uses one kind of engine. Keep it on a 64-byte boundary
/// (KeySlot does): it then spans 16 lines.
struct alignas(16) AeadKey {
  std::array<uint8_t, 1008> expanded;
};

struct alignas(64) AeadOp {
  const AeadKey* key;
  uint8_t* data;  ///< in place: plaintext or ciphertext
  uint8_t* tag;   ///< kAeadTagBytes: written by seal, compared by open
  const uint8_t* associated;
  uint32_t length;
  uint16_t associated_length;
  Suite suite;
  bool authentic;
  std::array<uint8_t, kAeadNonceBytes> nonce;
};

/// What a tag is the hash of, where data are two blocks and associated data one.
struct alignas(64) Hashed {
  __m128i associated;
  __m128i data[2];  ///< ciphertext
  __m128i bits;     ///< how many of both there are
};
/// To add the hash under the key's hash key (GHASH of NIST SP 800-38D) to a tag.
struct HashOp {
  const AeadKey* key;
  uint8_t* tag;
};

/// In constant time: two words, no branch on their contents. libsodium's byte loop costs 80 clocks
/// here, as much as a short frame's AEAD.
inline bool tags_equal(const uint8_t* a, const uint8_t* b) noexcept {
  std::array<uint64_t, 2> x, y;
  static_assert(sizeof x == kAeadTagBytes);
  std::memcpy(x.data(), a, sizeof x);
  std::memcpy(y.data(), b, sizeof y);
  return ((x[0] ^ y[0]) | (x[1] ^ y[1])) == 0;
}

class AeadEngine {
 public:
  virtual ~AeadEngine() = default;
  /// Reads nothing but CPU-wide tables: the main core may expand keys for all workers.
  virtual void expand(Suite suite, std::span<const uint8_t, kAeadKeyBytes> key, AeadKey& out) const noexcept = 0;
  virtual void seal(std::span<AeadOp> ops) noexcept = 0;
  virtual void open(std::span<AeadOp> ops) noexcept = 0;

  // AES-256-GCM in its two halves, for who has the first one done in advance (header_streams.h).
  virtual bool has_halves() const noexcept { return false; }
  /// AES of whole blocks of 16 bytes, each by itself, in place.
  virtual void encrypt_blocks(const AeadKey&, std::span<uint8_t>) const noexcept { std::terminate(); }
  /// To each operation what is hashed for it.
  virtual void add_hashes(std::span<const HashOp>, std::span<const Hashed>) noexcept {}
};

}  // namespace sky::dataplane
