// Every engine, and every code path that it has on this CPU, against all published vectors: at every alignment, the tag
// in front, behind and elsewhere, alone and in bursts of 1 to 64.
#include "tests/unit/crypto/published.h"

#include <gtest/gtest.h>
#include <intel-ipsec-mb.h>

#include <algorithm>
#include <functional>
#include <ostream>

#include "dataplane/crypto/mb_engine.h"
#include "tests/unit/crypto/sodium_engine.h"

namespace sky::dataplane {
namespace {

using published::AeadVector;
using published::Bytes;

struct Cipher {
  Suite suite;
  std::function<std::vector<AeadVector>()> vectors;
  size_t least;  ///< that the set must have, so that none is lost on the way
};
const Cipher kCiphers[] = {{Suite::aes_256_gcm, published::aes_256_gcm, 750},
                           {Suite::chacha20_poly1305, published::chacha20_poly1305, 71}};

using Made = std::unique_ptr<AeadEngine>;  ///< nullptr where the CPU cannot
template <typename Engine>
Made made(Result<std::unique_ptr<Engine>> engine) {
  return engine ? Made(std::move(*engine)) : nullptr;
}

/// Null where the CPU has no AES instructions, as well as none of that width.
Made ipsec_mb(void (*init)(IMB_MGR*)) {
  auto engine = made(MbEngine::create(init));
  return engine && static_cast<MbEngine&>(*engine).suites() == kAllSuites ? std::move(engine) : nullptr;
}

struct Entry {
  const char* name;
  std::function<Made()> make;
};
void PrintTo(const Entry& entry, std::ostream* out) {
  *out << entry.name;
}
void PrintTo(const Cipher& cipher, std::ostream* out) {
  *out << static_cast<int>(cipher.suite);
}
const Entry kEngines[] = {
    {"IpsecMb", [] { return ipsec_mb(nullptr); }},
    {"IpsecMbSse", [] { return ipsec_mb(init_mb_mgr_sse); }},
    {"IpsecMbAvx", [] { return ipsec_mb(init_mb_mgr_avx); }},
    {"IpsecMbAvx2", [] { return ipsec_mb(init_mb_mgr_avx2); }},
    {"IpsecMbAvx512", [] { return ipsec_mb(init_mb_mgr_avx512); }},
    {"Sodium", [] { return SodiumEngine::available() ? std::make_unique<SodiumEngine>() : nullptr; }},
};

/// One operation with its bytes at chosen alignments, all of them between guards.
class Operation {
 public:
  Operation(const AeadEngine& engine, Suite suite, const AeadVector& vector, unsigned data_at, unsigned tag_place)
      : vector_(vector), room_(kGuard * 4 + vector.sealed.size() + kAeadTagBytes, kUntouched) {
    engine.expand(suite, std::span<const uint8_t, kAeadKeyBytes>(vector.key), key_);
    data_ = aligned(room_, data_at);
    apart_.assign(kGuard * 4, kUntouched);
    tag_ = tag_place == 0   ? data_ - kAeadTagBytes
           : tag_place == 1 ? data_ + vector.sealed.size()
                            : aligned(apart_, (data_at * 5 + 3) % kGuard);
    associated_.resize(kGuard * 4 + vector.associated.size());
    uint8_t* associated = aligned(associated_, (data_at * 7 + 1) % kGuard);
    std::ranges::copy(vector.associated, associated);
    op = {.key = &key_,
          .data = data_,
          .tag = tag_,
          .associated = associated,
          .length = static_cast<uint32_t>(vector.sealed.size()),
          .associated_length = static_cast<uint16_t>(vector.associated.size()),
          .suite = suite,
          .authentic = false,
          .nonce = {}};
    std::ranges::copy(vector.nonce, op.nonce.begin());
  }
  Operation(const Operation&) = delete;

  void put_plain() { std::ranges::copy(vector_.plain, data_); }
  void put_sealed() {
    std::ranges::copy(vector_.sealed, data_);
    std::ranges::copy(vector_.tag, tag_);
    op.authentic = !vector_.authentic;
  }
  bool holds_plain() const { return std::ranges::equal(vector_.plain, std::span(data_, op.length)); }
  bool holds_sealed() const {
    return std::ranges::equal(vector_.sealed, std::span(data_, op.length)) &&
           std::ranges::equal(vector_.tag, std::span(tag_, kAeadTagBytes));
  }
  /// Nothing was written beside data and tag.
  bool kept_to_itself() const { return untouched(room_) && untouched(apart_); }
  const AeadVector& vector() const { return vector_; }

  AeadOp op;

 private:
  static constexpr size_t kGuard = 64;
  static constexpr uint8_t kUntouched = 0xa5;

  /// One guard or more from its start.
  static uint8_t* aligned(Bytes& bytes, size_t at) {
    const size_t past = reinterpret_cast<uintptr_t>(bytes.data()) % kGuard;
    return bytes.data() + 2 * kGuard - past + at;
  }
  bool untouched(const Bytes& bytes) const {
    return std::ranges::all_of(bytes, [&](const uint8_t& byte) {
      const bool ours =
          (&byte >= data_ && &byte < data_ + op.length) || (&byte >= tag_ && &byte < tag_ + kAeadTagBytes);
      return ours || byte == kUntouched;
    });
  }

  alignas(64) AeadKey key_;
  const AeadVector& vector_;
  Bytes room_, apart_, associated_;
  uint8_t* data_;
  uint8_t* tag_;
};

class Published : public testing::TestWithParam<std::tuple<Entry, Cipher>> {
 protected:
  void SetUp() override {
    if (!std::filesystem::exists(published::folder())) GTEST_SKIP() << "skipped: shared/data absent";
    const auto& [entry, cipher] = GetParam();
    engine_ = entry.make();
    if (!engine_) GTEST_SKIP() << "this CPU has no such code path";
    suite_ = cipher.suite;
    vectors_ = cipher.vectors();
    ASSERT_GE(vectors_.size(), cipher.least);
  }

  Made engine_;
  Suite suite_{};
  std::vector<AeadVector> vectors_;
};

TEST_P(Published, EachVectorAtEachAlignmentWithTheTagAnywhere) {
  for (const AeadVector& vector : vectors_) {
    const auto number = static_cast<unsigned>(&vector - vectors_.data());
    for (unsigned alignment = 0; alignment < 64; ++alignment) {
      SCOPED_TRACE(testing::Message() << "vector " << number << ", alignment " << alignment);
      Operation operation(*engine_, suite_, vector, alignment, (number + alignment) % 3);
      if (vector.authentic) {
        operation.put_plain();
        engine_->seal({&operation.op, 1});
        ASSERT_TRUE(operation.holds_sealed());
      }
      operation.put_sealed();
      engine_->open({&operation.op, 1});
      ASSERT_EQ(vector.authentic, operation.op.authentic);
      ASSERT_TRUE(!vector.authentic || operation.holds_plain());
      ASSERT_TRUE(operation.kept_to_itself());
    }
  }
}

TEST_P(Published, AllOfThemInBurstsOfOneTo64) {
  for (size_t burst = 1; burst <= 64; ++burst) {
    for (size_t first = 0; first < vectors_.size(); first += burst) {
      std::vector<std::unique_ptr<Operation>> operations;
      for (size_t i = first; i < std::min(first + burst, vectors_.size()); ++i) {
        // Its place, and whether it is the same vector as its neighbour's, with the same key, changes from burst to
        // burst.
        operations.push_back(std::make_unique<Operation>(*engine_, suite_,
                                                         vectors_[(i * (1 + burst % 2)) % vectors_.size()],
                                                         (i * 11 + burst) % 64, (i + burst) % 3));
      }
      std::vector<AeadOp> ops;
      for (auto& operation : operations) {
        operation->put_plain();
        ops.push_back(operation->op);
      }
      engine_->seal(ops);
      for (auto& operation : operations) {
        ASSERT_TRUE(!operation->vector().authentic || operation->holds_sealed());
        operation->put_sealed();
      }
      engine_->open(ops);
      for (size_t i = 0; i < ops.size(); ++i) {
        SCOPED_TRACE(testing::Message() << "burst of " << burst << ", from " << first << ", its " << i);
        ASSERT_EQ(operations[i]->vector().authentic, ops[i].authentic);
        ASSERT_TRUE(!ops[i].authentic || operations[i]->holds_plain());
        ASSERT_TRUE(operations[i]->kept_to_itself());
      }
    }
  }
}

std::string name_of(const testing::TestParamInfo<std::tuple<Entry, Cipher>>& info) {
  const auto& [entry, cipher] = info.param;
  return std::string(entry.name) + (cipher.suite == Suite::aes_256_gcm ? "Aes256Gcm" : "ChaCha20Poly1305");
}

INSTANTIATE_TEST_SUITE_P(Engines, Published, testing::Combine(testing::ValuesIn(kEngines), testing::ValuesIn(kCiphers)),
                         name_of);

}  // namespace
}  // namespace sky::dataplane
