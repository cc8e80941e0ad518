// What a node spends on an initiation: nothing before mac1 holds, a cookie when too many come, and rations.
#include "controlplane/session/gate.h"

#include <gtest/gtest.h>

#include "tests/unit/session/node.h"

namespace sky::controlplane {
namespace {

constexpr uint64_t kStart_ns = 1000 * kSecond_ns;
constexpr std::array<uint8_t, 6> kHere = Node::kSource;
constexpr std::array<uint8_t, 6> kThere{2, 0, 0, 0, 0, 2};

Arrival arrival(ByteView message, ByteView source = kHere) {
  return {.message = message, .prologue = kLinkPrologue, .source = source};
}

TEST(Gate, ReadsTheClaimedKey) {
  Pair pair;
  const Bytes message = pair.lower.initiate(kStart_ns);
  auto admitted = pair.higher.gate.admit(arrival(message), kStart_ns);
  ASSERT_TRUE(admitted.has_value());
  const auto* initiation = std::get_if<Initiation>(&*admitted);
  ASSERT_NE(initiation, nullptr);
  EXPECT_EQ(initiation->peer(), pair.lower.gate.identity().dh.public_key);
  EXPECT_FALSE(initiation->proven);
}

TEST(Gate, RefusesByName) {
  Pair pair;
  const Bytes good = pair.lower.initiate(kStart_ns);
  const auto reason = [&](const Bytes& message, Prologue prologue = kLinkPrologue) {
    auto admitted = pair.higher.gate.admit({.message = message, .prologue = prologue, .source = kHere}, kStart_ns);
    EXPECT_FALSE(admitted.has_value());
    return admitted ? "" : name_of(admitted.error().reason);
  };
  EXPECT_STREQ(reason({}), "malformed");
  EXPECT_STREQ(reason(Bytes(good.begin(), good.end() - 1)), "malformed");
  for (size_t at = 0; at < 4; ++at) {
    Bytes altered = good;
    altered[at] ^= 0x80;
    EXPECT_STREQ(reason(altered), "malformed") << "byte " << at;
  }
  for (size_t at = 4; at < good.size() - sizeof(Mac); ++at) {
    Bytes altered = good;
    altered[at] ^= 0x01;
    EXPECT_STREQ(reason(altered), "mac1") << "byte " << at;
  }
  Bytes sealed_badly = good;
  sealed_badly[60] ^= 1;
  write_macs(sealed_badly, MacKeys::of(pair.higher.gate.identity().dh.public_key), std::nullopt);
  EXPECT_STREQ(reason(sealed_badly), "seal");
  Prologue other_carrier = kLinkPrologue;
  other_carrier.carrier = 2;
  EXPECT_STREQ(reason(good, other_carrier), "seal");
  Prologue other_header = kLinkPrologue;
  other_header.header[3] = 1;
  EXPECT_STREQ(reason(good, other_header), "seal");
}

TEST(Gate, UnderLoadOnlyAProvenAddressIsWorthAnAgreement) {
  Pair pair(kLinkPrologue, {.unproven = {.per_second = 1, .burst = 3}});
  HandshakeGate& gate = pair.higher.gate;
  const Bytes message = pair.lower.initiate(kStart_ns);
  for (int i = 0; i < 3; ++i) {
    auto admitted = gate.admit(arrival(message), kStart_ns);
    ASSERT_TRUE(admitted && std::holds_alternative<Initiation>(*admitted));
  }
  auto loaded = gate.admit(arrival(message), kStart_ns);
  ASSERT_TRUE(loaded && std::holds_alternative<CookieReply>(*loaded));
  const Bytes reply = std::get<CookieReply>(*loaded).message;
  EXPECT_LE(reply.size(), message.size());
  EXPECT_EQ(message_type(reply), MessageType::cookie);

  const auto proving = pair.lower.handshake->on_cookie(reply, kStart_ns);
  ASSERT_TRUE(proving.has_value());
  auto proven = gate.admit(arrival(*proving), kStart_ns);
  ASSERT_TRUE(proven && std::holds_alternative<Initiation>(*proven));
  EXPECT_TRUE(std::get<Initiation>(*proven).proven);
  auto elsewhere = gate.admit(arrival(*proving, kThere), kStart_ns);
  EXPECT_TRUE(elsewhere && std::holds_alternative<CookieReply>(*elsewhere)) << "a cookie counts at one address";
  auto later = gate.admit(arrival(*proving), kStart_ns + 121 * kSecond_ns);
  ASSERT_TRUE(later && std::holds_alternative<Initiation>(*later));
  EXPECT_FALSE(std::get<Initiation>(*later).proven) << "a cookie ends with its secret";
}

TEST(Gate, AnAlteredMac2ProvesNothing) {
  Pair pair(kLinkPrologue, {.unproven = {.per_second = 1, .burst = 1}});
  HandshakeGate& gate = pair.higher.gate;
  const Bytes message = pair.lower.initiate(kStart_ns);
  ASSERT_TRUE(gate.admit(arrival(message), kStart_ns).has_value());
  auto cookie = gate.admit(arrival(message), kStart_ns);
  const auto proving = pair.lower.handshake->on_cookie(std::get<CookieReply>(*cookie).message, kStart_ns);
  ASSERT_TRUE(proving.has_value());
  for (size_t at = proving->size() - sizeof(Mac); at < proving->size(); ++at) {
    Bytes altered = *proving;
    altered[at] ^= 1;
    auto admitted = gate.admit(arrival(altered), kStart_ns);
    EXPECT_TRUE(admitted && std::holds_alternative<CookieReply>(*admitted)) << "byte " << at;
  }
}

TEST(Gate, EverySourceHasItsRation) {
  Pair pair(kLinkPrologue, {.per_source = {.per_second = 2, .burst = 4}});
  HandshakeGate& gate = pair.higher.gate;
  const Bytes message = pair.lower.initiate(kStart_ns);
  const auto trusted = [&](ByteView source, uint64_t now_ns) {
    return gate.admit({.message = message, .prologue = kLinkPrologue, .source = source, .trusted = true}, now_ns);
  };
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(trusted(kHere, kStart_ns).has_value());
  const auto spent = trusted(kHere, kStart_ns);
  ASSERT_FALSE(spent.has_value());
  EXPECT_EQ(spent.error().reason, Reason::budget);
  EXPECT_TRUE(trusted(kThere, kStart_ns).has_value());
  EXPECT_TRUE(trusted(kHere, kStart_ns + kSecond_ns / 2).has_value());
}

TEST(Gate, AllProvenSourcesTogetherHaveOneToo) {
  Pair pair(kLinkPrologue, {.proven = {.per_second = 1, .burst = 2}});
  const Bytes message = pair.lower.initiate(kStart_ns);
  int passed = 0;
  for (uint8_t i = 0; i < 50; ++i) {
    const std::array<uint8_t, 6> source{2, 0, 0, 0, 1, i};
    passed += pair.higher.gate
                  .admit({.message = message, .prologue = kLinkPrologue, .source = source, .trusted = true}, kStart_ns)
                  .has_value();
  }
  EXPECT_EQ(passed, 2);
}

TEST(Gate, TenThousandForgedInitiationsCostABoundedNumberOfAgreements) {
  Pair pair;
  const Bytes message = pair.lower.initiate(kStart_ns);
  int agreements = 0, cookies = 0;
  for (uint64_t i = 0; i < 10'000; ++i) {
    const std::array<uint8_t, 6> source{2, 1, 0, 0, static_cast<uint8_t>(i >> 8), static_cast<uint8_t>(i)};
    auto admitted = pair.higher.gate.admit(arrival(message, source), kStart_ns + i * 100'000);
    ASSERT_TRUE(admitted.has_value());
    (std::holds_alternative<Initiation>(*admitted) ? agreements : cookies)++;
  }
  EXPECT_EQ(agreements, 199) << "a burst of 100, then one each 10 ms of the second that this takes";
  EXPECT_EQ(cookies, 9'801);
}

}  // namespace
}  // namespace sky::controlplane
