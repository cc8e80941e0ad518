// Which of IPsec-MB's interfaces is fastest for AES-256-GCM: direct calls (the dataplane's
// MbEngine), jobs or bursts. For each burst and size the three run turn by turn (A B C A B C ...);
// printed are TSC clocks per operation, median and spread (slowest minus fastest quartile). The two
// that lost live here alone, so that the choice can be run again.
//
// Usage: aead_bench [SAMPLES]   (default 151)
#include <intel-ipsec-mb.h>
#include <x86intrin.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <random>
#include <vector>

#include "dataplane/crypto/aead.h"
#include "dataplane/crypto/mb_engine.h"

namespace sky::dataplane {
namespace {

constexpr size_t kMostBurst = 64;
constexpr size_t kMostBytes = 1420;
constexpr size_t kOpsPerSample = 512;  // short: a turn is seldom interrupted

struct FreeManager {
  void operator()(IMB_MGR* manager) const { free_mb_mgr(manager); }
};

/// What job and burst share: filling a job from an operation and reading the result back.
class JobFiller : public AeadEngine {
 public:
  JobFiller() : manager_(alloc_mb_mgr(0)) { init_mb_mgr_auto(manager_.get(), nullptr); }
  void expand(Suite, std::span<const uint8_t, kAeadKeyBytes> key, AeadKey& out) const noexcept override {
    IMB_AES256_GCM_PRE(manager_.get(), key.data(), reinterpret_cast<gcm_key_data*>(&out));
  }
  void seal(std::span<AeadOp> ops) noexcept override { run(ops, IMB_DIR_ENCRYPT); }
  void open(std::span<AeadOp> ops) noexcept override {
    run(ops, IMB_DIR_DECRYPT);
    for (size_t i = 0; i < ops.size(); ++i) {
      ops[i].authentic = tags_equal(tags_[i].data(), ops[i].tag);
    }
  }

 protected:
  virtual void run(std::span<AeadOp> ops, IMB_CIPHER_DIRECTION direction) = 0;

  void fill(IMB_JOB& job, const AeadOp& op, size_t index, IMB_CIPHER_DIRECTION direction) {
    const bool seals = direction == IMB_DIR_ENCRYPT;
    job.cipher_mode = IMB_CIPHER_GCM;
    job.hash_alg = IMB_AUTH_AES_GMAC;
    job.cipher_direction = direction;
    job.chain_order = seals ? IMB_ORDER_CIPHER_HASH : IMB_ORDER_HASH_CIPHER;
    job.enc_keys = job.dec_keys = op.key;
    job.key_len_in_bytes = kAeadKeyBytes;
    job.src = job.dst = op.data;
    job.cipher_start_src_offset_in_bytes = 0;
    job.msg_len_to_cipher_in_bytes = op.length;
    job.hash_start_src_offset_in_bytes = 0;
    job.msg_len_to_hash_in_bytes = op.length;
    job.iv = op.nonce.data();
    job.iv_len_in_bytes = kAeadNonceBytes;
    job.u.GCM.aad = op.associated;
    job.u.GCM.aad_len_in_bytes = op.associated_length;
    job.auth_tag_output = seals ? op.tag : tags_[index].data();
    job.auth_tag_output_len_in_bytes = kAeadTagBytes;
  }

  std::unique_ptr<IMB_MGR, FreeManager> manager_;
  std::array<std::array<uint8_t, kAeadTagBytes>, kMostBurst> tags_{};
};

class JobEngine final : public JobFiller {
  void run(std::span<AeadOp> ops, IMB_CIPHER_DIRECTION direction) override {
    for (size_t i = 0; i < ops.size(); ++i) {
      fill(*IMB_GET_NEXT_JOB(manager_.get()), ops[i], i, direction);
      IMB_SUBMIT_JOB_NOCHECK(manager_.get());
    }
    while (IMB_FLUSH_JOB(manager_.get()) != nullptr) {
    }
  }
};

class BurstEngine final : public JobFiller {
  void run(std::span<AeadOp> ops, IMB_CIPHER_DIRECTION direction) override {
    std::array<IMB_JOB*, kMostBurst> jobs;
    const auto count = static_cast<uint32_t>(ops.size());
    uint32_t done = IMB_GET_NEXT_BURST(manager_.get(), count, jobs.data());
    for (size_t i = 0; i < done; ++i) fill(*jobs[i], ops[i], i, direction);
    done = IMB_SUBMIT_BURST_NOCHECK(manager_.get(), done, jobs.data());
    while (done < count) {
      done += IMB_FLUSH_BURST(manager_.get(), count - done, jobs.data());
    }
  }
};

/// Operations of one burst over keys drawn at random, and the bytes they stand on.
struct Load {
  std::vector<AeadOp> ops;
  std::vector<uint8_t> bytes = std::vector<uint8_t>(kMostBurst * 2048);
  std::vector<AeadKey> keys;

  Load(const AeadEngine& engine, size_t burst, size_t size, size_t key_count) : ops(burst), keys(key_count) {
    std::mt19937 random(1);
    for (AeadKey& key : keys) {
      std::array<uint8_t, kAeadKeyBytes> raw;
      for (uint8_t& byte : raw) byte = static_cast<uint8_t>(random());
      engine.expand(Suite::aes_256_gcm, raw, key);
    }
    for (size_t i = 0; i < burst; ++i) {
      uint8_t* frame = bytes.data() + 2048 * i + 14;
      ops[i] = {.key = &keys[0],
                .data = frame + 32,
                .tag = frame + 16,
                .associated = frame,
                .length = static_cast<uint32_t>(size),
                .associated_length = 16,
                .suite = Suite::aes_256_gcm,
                .authentic = false,
                .nonce = {static_cast<uint8_t>(i)}};
    }
  }
};

struct Result {
  double median;
  double spread;
};

Result summary(std::vector<double> samples) {
  std::ranges::sort(samples);
  const size_t n = samples.size();
  return {samples[n / 2], samples[n - 1 - n / 4] - samples[n / 4]};
}

double clocks_per_op(AeadEngine& engine, Load& load, bool seals, std::mt19937& random) {
  uint64_t clocks = 0;
  const size_t rounds = kOpsPerSample / load.ops.size();
  for (size_t round = 0; round < rounds; ++round) {
    if (load.keys.size() > 1) {
      for (AeadOp& op : load.ops) op.key = &load.keys[random() % load.keys.size()];
    }
    const uint64_t start = __rdtsc();
    seals ? engine.seal(load.ops) : engine.open(load.ops);
    clocks += __rdtsc() - start;
  }
  return static_cast<double>(clocks) / static_cast<double>(rounds * load.ops.size());
}

void compare(std::span<AeadEngine* const> engines, bool seals, size_t key_count, size_t samples) {
  std::printf("\n%s, %zu key%s: clocks per operation, median (spread)\n", seals ? "seal" : "open", key_count,
              key_count == 1 ? "" : "s at random");
  std::printf("%6s %6s %18s %18s %18s\n", "burst", "bytes", "direct", "job", "burst");
  for (size_t burst : {1, 8, 32, 64}) {
    for (size_t size : {size_t{32}, size_t{64}, size_t{256}, kMostBytes}) {
      Load load(*engines[0], burst, size, key_count);
      std::mt19937 random(2);
      std::vector<std::vector<double>> results(engines.size());
      for (size_t sample = 0; sample <= samples; ++sample) {
        for (size_t i = 0; i < engines.size(); ++i) {
          const double clocks = clocks_per_op(*engines[i], load, seals, random);
          if (sample > 0) results[i].push_back(clocks);  // the first turn warms up
        }
      }
      std::printf("%6zu %6zu", burst, size);
      for (auto& one : results) {
        const Result result = summary(one);
        std::printf(" %10.1f (%5.1f)", result.median, result.spread);
      }
      std::printf("\n");
    }
  }
}

/// Each engine opens what the first sealed: else the table compares different things.
bool agree(std::span<AeadEngine* const> engines) {
  for (AeadEngine* engine : engines) {
    Load load(*engine, 8, 100, 1);
    engines[0]->seal(load.ops);
    engine->open(load.ops);
    if (!std::ranges::all_of(load.ops, &AeadOp::authentic)) return false;
  }
  return true;
}

}  // namespace

int bench(size_t samples) {
  auto direct = MbEngine::create();
  if (!direct) {
    std::fprintf(stderr, "aead_bench: %s\n", direct.error().message.c_str());
    return 2;
  }
  JobEngine job;
  BurstEngine burst;
  AeadEngine* const engines[] = {direct->get(), &job, &burst};
  if (!agree(engines)) {
    std::fprintf(stderr, "aead_bench: found interfaces that disagree, wanted the same bytes\n");
    return 2;
  }
  for (size_t keys : {size_t{1}, size_t{4096}}) {
    for (bool seals : {true, false}) compare(engines, seals, keys, samples);
  }
  return 0;
}

}  // namespace sky::dataplane

int main(int argc, char** argv) {
  const int samples = argc > 1 ? std::atoi(argv[1]) : 151;
  if (samples < 1) {
    std::fprintf(stderr, "aead_bench: found SAMPLES %s, wanted a number from 1 on\n", argv[1]);
    return 2;
  }
  return sky::dataplane::bench(static_cast<size_t>(samples));
}
