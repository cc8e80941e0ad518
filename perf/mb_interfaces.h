// IPsec-MB's two interfaces that the dataplane does not use for frames, as engines: jobs, submitted one by one, and
// bursts of them. They live here alone: beside the direct calls of MbEngine they tell what the library can do at most.
#pragma once

#include <intel-ipsec-mb.h>

#include <array>
#include <memory>

#include "dataplane/batch.h"
#include "dataplane/crypto/aead.h"

namespace sky::perf {

/// What job and burst share: filling a job from an operation, and reading the result back. kBurst operations at most.
class JobFiller : public dataplane::AeadEngine {
 public:
  JobFiller();
  void expand(Suite suite, std::span<const uint8_t, dataplane::kAeadKeyBytes> key,
              dataplane::AeadKey& out) const noexcept override;
  void seal(std::span<dataplane::AeadOp> ops) noexcept override { run(ops, IMB_DIR_ENCRYPT); }
  void open(std::span<dataplane::AeadOp> ops) noexcept override;

 protected:
  virtual void run(std::span<dataplane::AeadOp> ops, IMB_CIPHER_DIRECTION direction) noexcept = 0;
  /// The `index`th of a burst.
  void fill(IMB_JOB& job, const dataplane::AeadOp& op, size_t index, IMB_CIPHER_DIRECTION direction) noexcept;

  struct FreeManager {
    void operator()(IMB_MGR* manager) const { free_mb_mgr(manager); }
  };
  std::unique_ptr<IMB_MGR, FreeManager> manager_;

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
