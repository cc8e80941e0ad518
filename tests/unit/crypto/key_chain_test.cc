#include "dataplane/crypto/key_chain.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <new>
#include <numeric>
#include <set>
#include <string>

namespace sky::dataplane {
namespace {

using Secret = std::array<uint8_t, kChainSecretBytes>;

Secret counting_secret() {
  Secret secret;
  std::iota(secret.begin(), secret.end(), uint8_t{0});
  return secret;
}

std::string hex(std::span<const uint8_t> bytes) {
  std::string text;
  for (uint8_t byte : bytes) {
    text += "0123456789abcdef"[byte >> 4];
    text += "0123456789abcdef"[byte & 15];
  }
  return text;
}

// Computed with Python's hashlib: blake2b(b'', key=secret, salt=subkey as 8 bytes little-endian and 8 zeros,
// person=b'skychain' and 8 zeros).
TEST(KeyChain, DerivesAsAnIndependentBlake2bDoes) {
  constexpr const char* kExpected[][2] = {
      {"b8b888ff0e93b966b069f40cfe6679503ed15611a5c7d6ab977198d8ab110488", "dfe791b9"},
      {"7164fdc52e075fdfa208e20c52e5b9ac9aa02548502f8b505165e53a5d299a94", "cdaacba7"},
      {"90de2b05d19c3c6d52d03e6f03f191e4aab553400114d27190689a69ff79cf98", "a6b2afe6"}};
  const Secret secret = counting_secret();
  KeyChain chain;
  chain.start(secret);
  for (const auto& [key, salt] : kExpected) {
    const EpochKey epoch = chain.next();
    EXPECT_EQ(key, hex(epoch.key));
    EXPECT_EQ(salt, hex(epoch.salt));
  }
}

TEST(KeyChain, ATwinStaysInStepAndNoKeyComesTwice) {
  KeyChain ours, theirs;
  ours.start(counting_secret());
  theirs.start(counting_secret());
  std::set<std::string> keys;
  for (int i = 0; i < 1000; ++i) {
    const EpochKey a = ours.next(), b = theirs.next();
    ASSERT_EQ(a.key, b.key);
    ASSERT_EQ(a.salt, b.salt);
    ASSERT_TRUE(keys.insert(hex(a.key)).second);
  }
}

/// Does any run of `Bytes` in `memory` equal `needle`?
bool holds(std::span<const uint8_t> memory, std::span<const uint8_t> needle) {
  return std::search(memory.begin(), memory.end(), needle.begin(), needle.end()) != memory.end();
}

TEST(KeyChain, OldSecretsAndItsOwnMemoryAreWiped) {
  alignas(KeyChain) std::array<uint8_t, sizeof(KeyChain)> memory{};
  const Secret secret = counting_secret();
  auto* chain = new (memory.data()) KeyChain;
  chain->start(secret);
  EXPECT_TRUE(holds(memory, secret)) << "else the next line proves nothing";
  chain->next();
  EXPECT_FALSE(holds(memory, std::span(secret).first(8)));
  const auto later = memory;
  chain->~KeyChain();
  EXPECT_FALSE(holds(memory, std::span(later).first(8)));
}

}  // namespace
}  // namespace sky::dataplane
