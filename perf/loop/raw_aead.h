// The AEAD part of limits: the same operations over the same bytes under the same keys, by whatever interface of
// IPsec-MB does them fastest, and nothing else.
#pragma once

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <string>

#include "dataplane/batch.h"
#include "dataplane/crypto/aead.h"
#include "dataplane/crypto/key_slot.h"
#include "dataplane/crypto/mb_engine.h"
#include "perf/loop/measure.h"
#include "perf/mb_interfaces.h"

namespace sky::perf {

/// What an operation needs of a key's slot. To look there just before would bring the slot's last line into the cache.
struct RawKey {
  const dataplane::AeadKey* key;
  dataplane::Salt salt;
  Suite suite;

  RawKey(const dataplane::KeySlot& slot) : key(&slot.key), salt(slot.salt), suite(slot.suite) {}
};

/// What is sealed or opened in place, and its 16 associated bytes.
struct RawOp {
  uint8_t* data;
  size_t length;
  uint8_t* tag;
  const uint8_t* associated;
  Be64 nonce_word;

  dataplane::AeadOp under(const RawKey& key) const {
    dataplane::AeadOp op{.key = key.key,
                         .data = data,
                         .tag = tag,
                         .associated = associated,
                         .length = static_cast<uint32_t>(length),
                         .associated_length = 16,
                         .suite = key.suite,
                         .authentic = false,
                         .nonce = {}};
    std::memcpy(op.nonce.data(), key.salt.data(), sizeof(key.salt));
    std::memcpy(op.nonce.data() + sizeof(key.salt), &nonce_word, sizeof(nonce_word));
    return op;
  }
};

/// Those of one burst, at most one for each packet.
struct RawOps {
  unsigned count = 0;
  std::array<dataplane::AeadOp, dataplane::kBurst> ops;

  void add(const dataplane::AeadOp& op) { ops[count++] = op; }
  std::span<dataplane::AeadOp> all() { return {ops.data(), count}; }
};

/// One pass over a burst's operations by the fastest of IPsec-MB's interfaces, or as MbEngine uses them, keys
/// prefetched. The first bursts, those of the run that only warms up, try all in turn, at the lengths and with the keys
/// of the case.
class RawPass {
 public:
  using Way = void (dataplane::AeadEngine::*)(std::span<dataplane::AeadOp>) noexcept;

  /// To seal or to open.
  explicit RawPass(Way way) : way_(way) {
    engines_[0] = *dataplane::MbEngine::create();
    engines_[1] = std::make_unique<DirectEngine>();
    engines_[2] = std::make_unique<JobEngine>();
    engines_[3] = std::make_unique<BurstEngine>();
  }
  void run(std::span<dataplane::AeadOp> ops) {
    if (tried_ == kTries * kInterfaces) return (engines_[fastest_].get()->*way_)(ops);
    const unsigned next = tried_++ % kInterfaces;
    clocks_[next].push_back(static_cast<double>(clocks_of([&] { (engines_[next].get()->*way_)(ops); })));
    if (tried_ == kTries * kInterfaces)
      fastest_ = static_cast<size_t>(std::ranges::min_element(clocks_, {}, median) - clocks_.begin());
  }
  std::string interface() const { return std::array{"ours", "direct", "job", "burst"}[fastest_]; }

 private:
  static constexpr unsigned kInterfaces = 4, kTries = 48;  // bursts each

  Way way_;
  std::array<std::unique_ptr<dataplane::AeadEngine>, kInterfaces> engines_;
  std::array<Samples, kInterfaces> clocks_;
  unsigned tried_ = 0;
  size_t fastest_ = 0;
};

}  // namespace sky::perf
