// IPsec-MB's three interfaces as engines, for both suites and with nothing around them: direct calls, jobs submitted
// one by one, and bursts of jobs. Beside MbEngine, which has chosen for each suite and prefetches keys, they tell what
// the library can do at most.
#pragma once

#include <intel-ipsec-mb.h>

#include <array>
#include <memory>

#include "dataplane/batch.h"
#include "dataplane/crypto/aead.h"

namespace sky::perf {

class RawEngine : public dataplane::AeadEngine {
 public:
  RawEngine();
  void expand(Suite suite, std::span<const uint8_t, dataplane::kAeadKeyBytes> key,
              dataplane::AeadKey& out) const noexcept override;

 protected:
  struct FreeManager {
    void operator()(IMB_MGR* manager) const { free_mb_mgr(manager); }
  };
  std::unique_ptr<IMB_MGR, FreeManager> manager_;
};

class DirectEngine final : public RawEngine {
 public:
  void seal(std::span<dataplane::AeadOp> ops) noexcept override;
  void open(std::span<dataplane::AeadOp> ops) noexcept override;
};

/// What job and burst share: filling a job from an operation, and reading the result back. kBurst operations at most.
class JobFiller : public RawEngine {
 public:
  void seal(std::span<dataplane::AeadOp> ops) noexcept override { run(ops, IMB_DIR_ENCRYPT); }
  void open(std::span<dataplane::AeadOp> ops) noexcept override;

 protected:
  virtual void run(std::span<dataplane::AeadOp> ops, IMB_CIPHER_DIRECTION direction) noexcept = 0;
  /// The `index`th of a burst.
  void fill(IMB_JOB& job, const dataplane::AeadOp& op, size_t index, IMB_CIPHER_DIRECTION direction) noexcept;

 private:
  std::array<std::array<uint8_t, dataplane::kAeadTagBytes>, dataplane::kBurst> tags_{};  ///< of what is opened
};

class JobEngine final : public JobFiller {
  void run(std::span<dataplane::AeadOp> ops, IMB_CIPHER_DIRECTION direction) noexcept override;
};

class BurstEngine final : public JobFiller {
  void run(std::span<dataplane::AeadOp> ops, IMB_CIPHER_DIRECTION direction) noexcept override;
};

}  // namespace sky::perf
