// AES-256-GCM over a burst: the dataplane's MbEngine, which calls IPsec-MB directly, beside the library's two other
// interfaces, jobs and bursts, and beside libsodium. The losers live here alone, so that the choice can be made again.
#include <benchmark/benchmark.h>
#include <intel-ipsec-mb.h>
#include <sodium.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <random>
#include <vector>

#include "dataplane/batch.h"
#include "dataplane/crypto/header_streams.h"
#include "dataplane/crypto/mb_engine.h"

namespace sky::dataplane {
namespace {

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
  std::array<std::array<uint8_t, kAeadTagBytes>, kBurst> tags_{};
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
    std::array<IMB_JOB*, kBurst> jobs;
    const auto count = static_cast<uint32_t>(ops.size());
    uint32_t done = IMB_GET_NEXT_BURST(manager_.get(), count, jobs.data());
    for (size_t i = 0; i < done; ++i) fill(*jobs[i], ops[i], i, direction);
    done = IMB_SUBMIT_BURST_NOCHECK(manager_.get(), done, jobs.data());
    while (done < count) {
      done += IMB_FLUSH_BURST(manager_.get(), count - done, jobs.data());
    }
  }
};

/// Its own key schedule, made once as the others' are; a key takes no more room than theirs.
class SodiumEngine final : public AeadEngine {
 public:
  void expand(Suite, std::span<const uint8_t, kAeadKeyBytes> key, AeadKey& out) const noexcept override {
    crypto_aead_aes256gcm_beforenm(state_of(out), key.data());
  }
  void seal(std::span<AeadOp> ops) noexcept override {
    for (AeadOp& op : ops)
      crypto_aead_aes256gcm_encrypt_detached_afternm(op.data, op.tag, nullptr, op.data, op.length, op.associated,
                                                     op.associated_length, nullptr, op.nonce.data(), state_of(*op.key));
  }
  void open(std::span<AeadOp> ops) noexcept override {
    for (AeadOp& op : ops)
      op.authentic =
          crypto_aead_aes256gcm_decrypt_detached_afternm(op.data, nullptr, op.data, op.length, op.tag, op.associated,
                                                         op.associated_length, op.nonce.data(), state_of(*op.key)) == 0;
  }

 private:
  static crypto_aead_aes256gcm_state* state_of(const AeadKey& key) {
    static_assert(sizeof(crypto_aead_aes256gcm_state) <= sizeof(AeadKey));
    return reinterpret_cast<crypto_aead_aes256gcm_state*>(const_cast<AeadKey*>(&key));
  }
};

/// Operations of one burst over keys drawn at random, and the bytes they stand on.
struct Load {
  std::vector<AeadKey> keys;
  std::vector<std::array<uint8_t, 2048>> bytes{kBurst};
  std::vector<AeadOp> ops{kBurst};
  std::mt19937 random{1};

  Load(const AeadEngine& engine, size_t size, size_t key_count) : keys(key_count) {
    for (AeadKey& key : keys) {
      std::array<uint8_t, kAeadKeyBytes> raw;
      for (uint8_t& byte : raw) byte = static_cast<uint8_t>(random());
      engine.expand(Suite::aes_256_gcm, raw, key);
    }
    for (size_t i = 0; i < kBurst; ++i) {
      uint8_t* const frame = bytes[i].data();
      ops[i] = {.key = &keys[0],
                .data = frame + 32,
                .tag = frame + 16,
                .associated = frame,
                .length = static_cast<uint32_t>(size),
                .associated_length = 16,
                .suite = Suite::aes_256_gcm,
                .authentic = false,
                .nonce = {}};
    }
  }
  void draw_keys() {
    for (AeadOp& op : ops) op.key = &keys[random() % keys.size()];
  }
};

/// The pass alone is timed: not the draw of keys, nor the seal of what is then opened.
void pass(benchmark::State& state, AeadEngine& engine, bool seals) {
  Load load(engine, static_cast<size_t>(state.range(0)), static_cast<size_t>(state.range(1)));
  for (auto _ : state) {
    load.draw_keys();
    if (!seals) engine.seal(load.ops);
    const auto start = std::chrono::steady_clock::now();
    seals ? engine.seal(load.ops) : engine.open(load.ops);
    state.SetIterationTime(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    if (!seals && !std::ranges::all_of(load.ops, &AeadOp::authentic)) state.SkipWithError("opens not what it sealed");
  }
  state.SetItemsProcessed(state.iterations() * kBurst);
}

template <typename Engine>
std::unique_ptr<AeadEngine> make() {
  if constexpr (std::is_same_v<Engine, MbEngine>)
    return *MbEngine::create();
  else
    return std::make_unique<Engine>();
}

template <typename Engine>
void seal(benchmark::State& state) {
  pass(state, *make<Engine>(), true);
}
template <typename Engine>
void open(benchmark::State& state) {
  pass(state, *make<Engine>(), false);
}

/// Frames of kind `header`, their AES done ahead: beside seal<MbEngine> of 32 bytes.
void seal_ahead(benchmark::State& state) {
  const auto engine = make<MbEngine>();
  std::vector<std::array<uint8_t, 2048>> frames(kBurst);
  std::vector<KeySlot> keys(static_cast<size_t>(state.range(1)));
  std::vector<HeaderStreams> lanes(keys.size());
  std::vector<uint64_t> counters(keys.size());
  std::mt19937 random{1};
  for (uint64_t generation = 1; KeySlot & key : keys) {
    std::array<uint8_t, kAeadKeyBytes> raw;
    for (uint8_t& byte : raw) byte = static_cast<uint8_t>(random());
    engine->expand(Suite::aes_256_gcm, raw, key.key);
    key.generation = generation++;
  }
  std::array<HashOp, kBurst> ops;
  std::array<Hashed, kBurst> hashed;
  for (auto _ : state) {
    std::array<size_t, kBurst> drawn;
    for (size_t& key : drawn) key = random() % keys.size();
    const auto start = std::chrono::steady_clock::now();
    for (size_t i = 0; i < kBurst; ++i) {
      uint8_t* const frame = frames[i].data();
      const KeySlot& key = keys[drawn[i]];
      hashed[i] = lanes[drawn[i]].seal(*engine, key, 0, counters[drawn[i]]++, _mm_setzero_si128(), frame);
      ops[i] = {&key.key, frame + sizeof(LinkHeader)};
    }
    engine->add_hashes(ops, hashed);
    state.SetIterationTime(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  state.SetItemsProcessed(state.iterations() * kBurst);
}

/// A packet's header, small ones, large ones; one hot key, and more than a cache holds.
void sizes(benchmark::internal::Benchmark* one) {
  one->ArgNames({"bytes", "keys"})->ArgsProduct({{32, 64, 1420}, {1, 4096}})->UseManualTime();
}
BENCHMARK(seal<MbEngine>)->Apply(sizes);
BENCHMARK(seal_ahead)->ArgNames({"bytes", "keys"})->ArgsProduct({{32}, {1, 64, 4096}})->UseManualTime();
BENCHMARK(seal<JobEngine>)->Apply(sizes);
BENCHMARK(seal<BurstEngine>)->Apply(sizes);
BENCHMARK(seal<SodiumEngine>)->Apply(sizes);
BENCHMARK(open<MbEngine>)->Apply(sizes);
BENCHMARK(open<JobEngine>)->Apply(sizes);
BENCHMARK(open<BurstEngine>)->Apply(sizes);
BENCHMARK(open<SodiumEngine>)->Apply(sizes);

}  // namespace
}  // namespace sky::dataplane
