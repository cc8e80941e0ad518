// MbEngine against published vectors, then against libsodium over all lengths and alignments.
#include "dataplane/crypto/aead.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/crypto/mb_engine.h"
#include "tests/unit/crypto/sodium_engine.h"

namespace sky::dataplane {
namespace {

using Bytes = std::vector<uint8_t>;

Bytes from_hex(std::string_view hex) {
  if (hex.empty()) return {};
  Bytes bytes(hex.size() / 2);
  EXPECT_EQ(0, sodium_hex2bin(bytes.data(), bytes.size(), hex.data(), hex.size(), nullptr, nullptr, nullptr));
  return bytes;
}

std::unique_ptr<MbEngine> mb_engine() {
  auto engine = MbEngine::create();
  if (!engine) throw std::runtime_error(engine.error().message);
  return std::move(*engine);
}

Bytes random_bytes(std::mt19937& random, size_t count) {
  Bytes bytes(count);
  for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random());
  return bytes;
}

/// One message with room for its engine's view of it: bytes at a chosen alignment, and its key for both engines.
struct Message {
  alignas(64) AeadKey mb_key;
  alignas(64) AeadKey sodium_key;
  Bytes storage;
  Bytes associated;
  AeadOp op{};

  Message(const AeadEngine& mb, const AeadEngine& sodium, Suite suite, std::mt19937& random, size_t length,
          size_t alignment, size_t associated_length)
      : storage(random_bytes(random, 64 + alignment + length + kAeadTagBytes + 1)),
        associated(random_bytes(random, associated_length)) {
    const Bytes key = random_bytes(random, kAeadKeyBytes);
    mb.expand(suite, std::span<const uint8_t, kAeadKeyBytes>(key), mb_key);
    sodium.expand(suite, std::span<const uint8_t, kAeadKeyBytes>(key), sodium_key);
    const auto start = reinterpret_cast<uintptr_t>(storage.data());
    uint8_t* data = storage.data() + (64 - start % 64) + alignment;
    op = {.key = &mb_key,
          .data = data,
          .tag = data + length,
          .associated = associated.data(),
          .length = static_cast<uint32_t>(length),
          .associated_length = static_cast<uint16_t>(associated_length),
          .suite = suite,
          .authentic = false,
          .nonce = {}};
    for (uint8_t& byte : op.nonce) byte = static_cast<uint8_t>(random());
  }

  Bytes data() const { return Bytes(op.data, op.data + op.length); }
  Bytes tag() const { return Bytes(op.tag, op.tag + kAeadTagBytes); }
  AeadOp with(const AeadKey& key) const {
    AeadOp other = op;
    other.key = &key;
    return other;
  }
};

class Aead : public testing::TestWithParam<Suite> {
 protected:
  void SetUp() override {
    if (!SodiumEngine::available()) GTEST_SKIP() << "libsodium finds no AES-NI and PCLMULQDQ";
  }
  /// IPsec-MB seals and libsodium opens, then the other way round; bytes and tags are compared at each stage.
  void cross_check(size_t length, size_t alignment, size_t associated_length) {
    SCOPED_TRACE(testing::Message() << length << " bytes at " << alignment << ", associated " << associated_length);
    Message message(*mb_, sodium_, GetParam(), random_, length, alignment, associated_length);
    const Bytes plaintext = message.data();
    const uint8_t guard = message.op.tag[kAeadTagBytes];
    mb_->seal({&message.op, 1});
    const Bytes ciphertext = message.data(), tag = message.tag();
    AeadOp sodium_op = message.with(message.sodium_key);
    sodium_.open({&sodium_op, 1});
    ASSERT_TRUE(sodium_op.authentic);
    ASSERT_EQ(plaintext, message.data());
    sodium_.seal({&sodium_op, 1});
    ASSERT_EQ(ciphertext, message.data());
    ASSERT_EQ(tag, message.tag());
    message.op.authentic = false;
    mb_->open({&message.op, 1});
    ASSERT_TRUE(message.op.authentic);
    ASSERT_EQ(plaintext, message.data());
    ASSERT_EQ(guard, message.op.tag[kAeadTagBytes]) << "wrote past the tag";
  }

  std::unique_ptr<MbEngine> mb_ = mb_engine();
  SodiumEngine sodium_;
  std::mt19937 random_{20};
};

// McGrew and Viega, "The Galois/Counter Mode of Operation", test cases 13 to 16; RFC 8439, section 2.8.2.
struct Vector {
  Suite suite;
  const char* key;
  const char* nonce;
  const char* plaintext;
  const char* associated;
  const char* ciphertext;
  const char* tag;
};
constexpr auto kGcm = Suite::aes_256_gcm;
constexpr const char* kZeroKey = "0000000000000000000000000000000000000000000000000000000000000000";
constexpr const char* kKey = "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308";
constexpr Vector kVectors[] = {
    {kGcm, kZeroKey, "000000000000000000000000", "", "", "", "530f8afbc74536b9a963b4f1c4cb738b"},
    {kGcm, kZeroKey, "000000000000000000000000", "00000000000000000000000000000000", "",
     "cea7403d4d606b6e074ec5d3baf39d18", "d0d1c8a799996bf0265b98b5d48ab919"},
    {kGcm, kKey, "cafebabefacedbaddecaf888",
     "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
     "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b391aafd255",
     "",
     "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
     "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662898015ad",
     "b094dac5d93471bdec1a502270e3cc6c"},
    {kGcm, kKey, "cafebabefacedbaddecaf888",
     "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
     "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
     "feedfacedeadbeeffeedfacedeadbeefabaddad2",
     "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
     "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662",
     "76fc6ece0f4e1768cddf8853bb2d551b"},
    {Suite::chacha20_poly1305, "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f",
     "070000004041424344454647",
     "4c616469657320616e642047656e746c656d656e206f662074686520636c617373206f66202739393a2049662049206"
     "36f756c64206f6666657220796f75206f6e6c79206f6e652074697020666f7220746865206675747572652c2073756e"
     "73637265656e20776f756c642062652069742e",
     "50515253c0c1c2c3c4c5c6c7",
     "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d63dbea45e8ca9671282fafb69da92728"
     "b1a71de0a9e060b2905d6a5b67ecd3b3692ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7"
     "bc3ff4def08e4b7a9de576d26586cec64b6116",
     "1ae10b594f09e26a7e902ecbd0600691"},
};

TEST(AeadVectors, SealsAndOpensThePublishedOnes) {
  auto engine = mb_engine();
  for (const Vector& vector : kVectors) {
    SCOPED_TRACE(vector.tag);
    const Bytes key = from_hex(vector.key), nonce = from_hex(vector.nonce);
    Bytes associated = from_hex(vector.associated), data = from_hex(vector.plaintext);
    Bytes tag(kAeadTagBytes);
    alignas(64) AeadKey expanded;
    engine->expand(vector.suite, std::span<const uint8_t, kAeadKeyBytes>(key), expanded);
    AeadOp op{.key = &expanded,
              .data = data.data(),
              .tag = tag.data(),
              .associated = associated.data(),
              .length = static_cast<uint32_t>(data.size()),
              .associated_length = static_cast<uint16_t>(associated.size()),
              .suite = vector.suite,
              .authentic = false,
              .nonce = {}};
    std::ranges::copy(nonce, op.nonce.begin());
    engine->seal({&op, 1});
    EXPECT_EQ(from_hex(vector.ciphertext), data);
    EXPECT_EQ(from_hex(vector.tag), tag);
    op.authentic = false;
    engine->open({&op, 1});
    EXPECT_TRUE(op.authentic);
    EXPECT_EQ(from_hex(vector.plaintext), data);
  }
}

TEST_P(Aead, AgreesWithSodiumAtEveryLength) {
  for (size_t length = 0; length <= 9000; ++length) cross_check(length, length % 61, 16);
}

TEST_P(Aead, AgreesWithSodiumAtEveryAlignment) {
  for (size_t length : {0, 1, 14, 15, 16, 17, 32, 33, 63, 64, 127, 128, 129, 255, 257, 1420}) {
    for (size_t alignment = 0; alignment < 64; ++alignment) cross_check(length, alignment, 16);
  }
}

TEST_P(Aead, AgreesWithSodiumOnEveryShortAssociatedLength) {
  for (size_t associated = 0; associated <= 64; ++associated) cross_check(100, 14, associated);
}

TEST_P(Aead, ABurstOfManyKeysGivesEachItsOwnVerdict) {
  std::vector<std::unique_ptr<Message>> messages;
  std::vector<AeadOp> ops;
  std::vector<Bytes> plaintexts;
  for (size_t i = 0; i < 64; ++i) {
    messages.push_back(std::make_unique<Message>(*mb_, sodium_, GetParam(), random_, i * 23, i, 16));
    plaintexts.push_back(messages.back()->data());
    ops.push_back(messages.back()->op);
  }
  mb_->seal(ops);
  for (size_t i = 0; i < ops.size(); i += 3) ops[i].tag[i % kAeadTagBytes] ^= 0x10;
  mb_->open(ops);
  for (size_t i = 0; i < ops.size(); ++i) {
    EXPECT_EQ(i % 3 != 0, ops[i].authentic) << i;
    if (i % 3 != 0) {
      EXPECT_EQ(plaintexts[i], messages[i]->data()) << i;
    }
  }
}

TEST_P(Aead, AnEmptyBurstTouchesNothing) {
  mb_->seal({});
  mb_->open({});
}

TEST_P(Aead, EveryFlippedBitIsFound) {
  Message message(*mb_, sodium_, GetParam(), random_, 45, 3, 16);
  mb_->seal({&message.op, 1});
  const Bytes sealed(message.op.data, message.op.data + 45 + kAeadTagBytes);
  const auto opens_with = [&](uint8_t& byte, unsigned bit) {
    std::ranges::copy(sealed, message.op.data);
    byte ^= static_cast<uint8_t>(1u << bit);
    mb_->open({&message.op, 1});
    byte ^= static_cast<uint8_t>(1u << bit);
    return message.op.authentic;
  };
  for (unsigned bit = 0; bit < 8; ++bit) {
    for (size_t i = 0; i < sealed.size(); ++i) EXPECT_FALSE(opens_with(message.op.data[i], bit));
    for (uint8_t& byte : message.associated) EXPECT_FALSE(opens_with(byte, bit));
    for (uint8_t& byte : message.op.nonce) EXPECT_FALSE(opens_with(byte, bit));
  }
  std::ranges::copy(sealed, message.op.data);
  mb_->open({&message.op, 1});
  EXPECT_TRUE(message.op.authentic) << "unchanged, it must open";
}

INSTANTIATE_TEST_SUITE_P(Suites, Aead, testing::Values(Suite::aes_256_gcm, Suite::chacha20_poly1305),
                         [](const auto& suite) {
                           return suite.param == Suite::aes_256_gcm ? "Aes256Gcm" : "ChaCha20Poly1305";
                         });

TEST(AeadTag, ComparesAllSixteenBytes) {
  std::array<uint8_t, kAeadTagBytes> a;
  std::iota(a.begin(), a.end(), uint8_t{1});
  EXPECT_TRUE(tags_equal(a.data(), a.data()));
  for (size_t i = 0; i < a.size(); ++i) {
    auto b = a;
    b[i] ^= 0x80;
    EXPECT_FALSE(tags_equal(a.data(), b.data())) << i;
  }
}

}  // namespace
}  // namespace sky::dataplane
