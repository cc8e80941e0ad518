// The dataplane's AEAD engine: IPsec-MB, each suite by the one of its interfaces that measured fastest at every size
// (perf/micro/aead.cc compares all three). AES-256-GCM is a direct call each, keys of the burst prefetched three
// operations ahead: GCM has no lanes to fill across packets, so jobs add bookkeeping and win nothing.
// ChaCha20-Poly1305, whose direct interface is three calls, is a job each. Where AES may run ahead of the frames
// (header_streams.h), a job takes it for many at a time, and a direct call hashes each.
#pragma once

#include <memory>

#include "dataplane/base/result.h"
#include "dataplane/crypto/aead.h"

struct IMB_MGR;

namespace sky::dataplane {

class MbEngine final : public AeadEngine {
 public:
  /// Cold path. `init` is one of IPsec-MB's init_mb_mgr_*, for tests of each code path; by default the CPU's best.
  static Result<std::unique_ptr<MbEngine>> create(void (*init)(IMB_MGR*) = nullptr);

  /// What this CPU does at speed: AES-256-GCM asks for AES and carry-less multiply instructions, which IPsec-MB would
  /// emulate else.
  Suites suites() const noexcept;
  void expand(Suite suite, std::span<const uint8_t, kAeadKeyBytes> key, AeadKey& out) const noexcept override;
  void seal(std::span<AeadOp> ops) noexcept override;
  void open(std::span<AeadOp> ops) noexcept override;
  bool has_halves() const noexcept override { return true; }
  void encrypt_blocks(const AeadKey& key, std::span<uint8_t> blocks) const noexcept override;
  void add_hashes(std::span<const HashOp> ops, std::span<const Hashed> hashed) noexcept override;

 private:
  struct FreeManager {
    void operator()(IMB_MGR* manager) const noexcept;
  };
  using Manager = std::unique_ptr<IMB_MGR, FreeManager>;

  MbEngine(Manager manager, bool wide) : manager_(std::move(manager)), wide_(wide) {}

  Manager manager_;
  bool wide_;  ///< it keeps 48 powers of the hash key: AVX-512 and VAES
};

}  // namespace sky::dataplane
