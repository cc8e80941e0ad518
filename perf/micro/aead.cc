// The AEADs over a burst: the dataplane's MbEngine beside each of IPsec-MB's interfaces, direct calls, jobs and bursts,
// and beside libsodium.
#include <benchmark/benchmark.h>
#include <sodium.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <random>
#include <vector>

#include "dataplane/batch.h"
#include "dataplane/crypto/header_streams.h"
#include "dataplane/crypto/mb_engine.h"
#include "perf/mb_interfaces.h"

namespace sky::dataplane {
namespace {

using perf::BurstEngine;
using perf::DirectEngine;
using perf::JobEngine;

/// Its own key schedule, made once as the others' are; a key takes no more room than theirs.
class SodiumEngine final : public AeadEngine {
 public:
  void expand(Suite suite, std::span<const uint8_t, kAeadKeyBytes> key, AeadKey& out) const noexcept override {
    if (suite == Suite::aes_256_gcm) {
      crypto_aead_aes256gcm_beforenm(state_of(out), key.data());
    } else {
      std::ranges::copy(key, out.expanded.begin());
    }
  }
  void seal(std::span<AeadOp> ops) noexcept override {
    for (AeadOp& op : ops) {
      if (op.suite == Suite::aes_256_gcm) {
        crypto_aead_aes256gcm_encrypt_detached_afternm(op.data, op.tag, nullptr, op.data, op.length, op.associated,
                                                       op.associated_length, nullptr, op.nonce.data(),
                                                       state_of(*op.key));
      } else {
        crypto_aead_chacha20poly1305_ietf_encrypt_detached(op.data, op.tag, nullptr, op.data, op.length, op.associated,
                                                           op.associated_length, nullptr, op.nonce.data(),
                                                           op.key->expanded.data());
      }
    }
  }
  void open(std::span<AeadOp> ops) noexcept override {
    for (AeadOp& op : ops) op.authentic = open(op) == 0;
  }

 private:
  static int open(const AeadOp& op) {
    if (op.suite == Suite::aes_256_gcm)
      return crypto_aead_aes256gcm_decrypt_detached_afternm(op.data, nullptr, op.data, op.length, op.tag, op.associated,
                                                            op.associated_length, op.nonce.data(), state_of(*op.key));
    return crypto_aead_chacha20poly1305_ietf_decrypt_detached(op.data, nullptr, op.data, op.length, op.tag,
                                                              op.associated, op.associated_length, op.nonce.data(),
                                                              op.key->expanded.data());
  }
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

  Load(const AeadEngine& engine, Suite suite, size_t size, size_t key_count) : keys(key_count) {
    for (AeadKey& key : keys) {
      std::array<uint8_t, kAeadKeyBytes> raw;
      for (uint8_t& byte : raw) byte = static_cast<uint8_t>(random());
      engine.expand(suite, raw, key);
    }
    for (size_t i = 0; i < kBurst; ++i) {
      uint8_t* const frame = bytes[i].data();
      ops[i] = {.key = &keys[0],
                .data = frame + 32,
                .tag = frame + 16,
                .associated = frame,
                .length = static_cast<uint32_t>(size),
                .associated_length = 16,
                .suite = suite,
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
  const auto suite = static_cast<Suite>(state.range(2));
  Load load(engine, suite, static_cast<size_t>(state.range(0)), static_cast<size_t>(state.range(1)));
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

/// A packet's header, small ones, large ones; one hot key, and more than a cache holds; both suites by their numbers.
void sizes(benchmark::internal::Benchmark* one) {
  one->ArgNames({"bytes", "keys", "suite"})
      ->ArgsProduct(
          {{32, 64, 1420}, {1, 4096}, {to_underlying(Suite::aes_256_gcm), to_underlying(Suite::chacha20_poly1305)}})
      ->UseManualTime();
}
BENCHMARK(seal<MbEngine>)->Apply(sizes);
BENCHMARK(seal_ahead)->ArgNames({"bytes", "keys"})->ArgsProduct({{32}, {1, 64, 4096}})->UseManualTime();
BENCHMARK(seal<DirectEngine>)->Apply(sizes);
BENCHMARK(seal<JobEngine>)->Apply(sizes);
BENCHMARK(seal<BurstEngine>)->Apply(sizes);
BENCHMARK(seal<SodiumEngine>)->Apply(sizes);
BENCHMARK(open<MbEngine>)->Apply(sizes);
BENCHMARK(open<DirectEngine>)->Apply(sizes);
BENCHMARK(open<JobEngine>)->Apply(sizes);
BENCHMARK(open<BurstEngine>)->Apply(sizes);
BENCHMARK(open<SodiumEngine>)->Apply(sizes);

}  // namespace
}  // namespace sky::dataplane
