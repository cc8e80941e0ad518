// The hash of a flow beside a naive one, and flows that were chosen to share a bucket.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <random>

#include "dataplane/stages/inner.h"
#include "tests/support/bytes.h"

namespace sky::test {
namespace {

using namespace dataplane;

FlowKey key_of(uint64_t seed) {
  FlowKey key;
  std::ranges::generate(key, std::mt19937_64(seed));
  return key;
}

uint32_t hash_of(const Bytes& packet, const FlowKey& key) {
  InnerPacket inner{};
  EXPECT_TRUE(parse_inner(packet, inner));
  return flow_hash(packet, inner, key);
}

/// By the paper's formula: characters of 32 bits, as they lie in memory, each with a factor of its own.
uint32_t naive(const std::vector<uint32_t>& characters, const FlowKey& key) {
  unsigned __int128 sum = key[0];
  for (size_t i = 0; i < characters.size(); ++i) sum += static_cast<unsigned __int128>(key[1 + i]) * characters[i];
  return static_cast<uint32_t>(static_cast<uint64_t>(sum) >> 32);
}

std::vector<uint32_t> characters_of(const Bytes& packet, bool has_ports) {
  const bool six = packet[0] >> 4 == 6;
  const size_t header = six ? 40 : 20, first = six ? 8 : 12;
  std::vector<uint32_t> all{packet[six ? 6 : 9], 0};
  if (has_ports) std::memcpy(&all[1], &packet[header], 4);
  for (size_t at = first; at < header; at += 4) std::memcpy(&all.emplace_back(), &packet[at], 4);
  return all;
}

TEST(FlowHash, IsThatOfThePaper) {
  for (uint64_t seed = 0; seed < 100; ++seed) {
    const auto port = static_cast<uint16_t>(seed * 977);
    const FlowKey key = key_of(seed);
    const Bytes six = ipv6({.source = "fd00:1::1", .destination = "fd00:f::77", .payload = 64, .source_port = port});
    const Bytes four = ipv4({.source = "10.1.0.1", .destination = "10.9.0.1", .payload = 64, .source_port = port});
    EXPECT_EQ(naive(characters_of(six, true), key), hash_of(six, key));
    EXPECT_EQ(naive(characters_of(four, true), key), hash_of(four, key));
    Bytes fragment = four;
    fragment[6] = 0x20;  // more of them follow: those have no ports
    EXPECT_EQ(naive(characters_of(fragment, false), key), hash_of(fragment, key));
  }
}

/// The fullest of a group's buckets, where all would hold 256.
size_t fullest(const FlowKey& key, const std::function<void(Bytes&, uint32_t)>& change) {
  std::array<size_t, 256> buckets{};
  Bytes packet = ipv6({.source = "fd00:1::", .destination = "fd00:f::1", .payload = 64});
  for (uint32_t flow = 0; flow < 65'536; ++flow) {
    change(packet, flow);
    ++buckets[hash_of(packet, key) % buckets.size()];
  }
  return std::ranges::max(buckets);
}

TEST(FlowHash, FlowsThatDifferInAWayOfTheirOwnSpreadOverAllBuckets) {
  const auto put = [](Bytes& packet, size_t at, uint32_t value) {
    for (size_t i = 0; i < 4; ++i) packet[at + i] = static_cast<uint8_t>(value >> (24 - 8 * i));
  };
  constexpr size_t kLastOfSource = 20, kPorts = 40;
  const std::function<void(Bytes&, uint32_t)> ways[]{
      [&](Bytes& packet, uint32_t flow) { put(packet, kPorts, flow); },
      [&](Bytes& packet, uint32_t flow) { put(packet, kPorts, flow << 16); },
      [&](Bytes& packet, uint32_t flow) { put(packet, kLastOfSource, flow); },
      [&](Bytes& packet, uint32_t flow) { put(packet, kLastOfSource, flow << 8); },  // one last byte
      // Multiples of the Castagnoli polynomial: CRC32C has the same value for all of them.
      [&](Bytes& packet, uint32_t flow) {
        uint64_t multiple = 0;
        for (unsigned bit = 0; bit < 16; ++bit) multiple ^= (flow >> bit & 1) * (0x11edc6f41ull << bit);
        put(packet, kLastOfSource - 4, static_cast<uint32_t>(multiple >> 32));
        put(packet, kLastOfSource, static_cast<uint32_t>(multiple));
      }};
  for (const auto& way : ways) {
    for (uint64_t seed = 0; seed < 8; ++seed) EXPECT_LT(fullest(key_of(seed), way), 384u) << (&way - ways);
  }
}

}  // namespace
}  // namespace sky::test
