// The bytes around the Noise messages: terms, negotiation, the two MACs, the cookie.
#include "controlplane/session/message.h"

#include <gtest/gtest.h>

#include <functional>

#include "controlplane/core/random.h"
#include "controlplane/session/identity.h"
#include "dataplane/base/ration.h"
#include "tests/unit/session/hex.h"

namespace sky::controlplane {
namespace {

const Terms kTerms{.receive_index = 0x01020304,
                   .parity = 1,
                   .suites = 0x03,
                   .least_kind = 2,
                   .lanes = 5,
                   .version_min = 6,
                   .version_max = 7,
                   .boot_id = 0x08090a0b0c0d0e0f,
                   .session_id = 0x1011121314151617,
                   .run = 0x18191a1b,
                   .attempt = 0x1c1d};

TEST(Terms, StandOnTheWireInTheirOrder) {
  EXPECT_EQ(encode(kTerms), array_from_hex<32>("01020304010302050607"
                                               "08090a0b0c0d0e0f"
                                               "1011121314151617"
                                               "18191a1b"
                                               "1c1d"));
  const auto decoded = decode(encode(kTerms));
  ASSERT_TRUE(decoded.has_value());
  EXPECT_EQ(*decoded, kTerms);
}

TEST(Terms, FieldsOutsideTheirRangeAreNamed) {
  struct Case {
    std::function<void(Terms&)> spoil;
    const char* named;
  };
  const Case cases[] = {{[](Terms& t) { t.parity = 2; }, "parity"},
                        {[](Terms& t) { t.suites = 0; }, "suites"},
                        {[](Terms& t) { t.least_kind = 3; }, "least kind"},
                        {[](Terms& t) { t.lanes = 0; }, "lanes"},
                        {[](Terms& t) { t.version_min = 8; }, "version"}};
  for (const auto& [spoil, named] : cases) {
    Terms terms = kTerms;
    spoil(terms);
    const auto decoded = decode(encode(terms));
    ASSERT_FALSE(decoded.has_value()) << named;
    EXPECT_NE(decoded.error().message.find(named), std::string::npos) << decoded.error().message;
  }
}

TEST(Negotiate, TakesWhatBothHaveAndTheStrongerDemand) {
  Terms ours{.suites = 0x07, .least_kind = 1, .version_min = 1, .version_max = 4};
  Terms theirs{.suites = 0x0e, .least_kind = 0, .version_min = 2, .version_max = 3};
  const Agreed wanted{.suite = Suite{2}, .version = 3, .least_kind = 0};
  EXPECT_EQ(negotiate(ours, theirs), wanted);
  EXPECT_EQ(negotiate(theirs, ours), wanted);

  theirs.suites = 0x08;
  auto refused = negotiate(ours, theirs);
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().message, "handshake suites: found 0x08 at the peer, wanted one of ours, 0x07");
  theirs = ours;
  theirs.version_min = theirs.version_max = 5;
  refused = negotiate(ours, theirs);
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().message, "handshake version: found 5 to 5 at the peer, wanted one of ours, 1 to 4");
}

TEST(Prologue, NamesScopeHeaderAndCarrier) {
  const Prologue link{.scope = Prologue::Scope::link, .header = {0x13, 0, 0, 0}, .carrier = 1};
  const auto text = from_hex(
      "736b7965646765206c696e6b207631"
      "13000000"
      "01");  // "skyedge link v1"
  EXPECT_EQ(link.bytes(), text);
  const Prologue session{.scope = Prologue::Scope::session, .header = {}, .carrier = 0};
  EXPECT_EQ(session.bytes(), from_hex("736b79656467652073657373696f6e207631"
                                      "00000000"
                                      "00"));
}

TEST(Macs, EachCoversAllBeforeIt) {
  SeededRandom random(1);
  InitiationMessage message{.sender = Be32(7)};
  random.fill(message.body);
  Bytes bytes = to_bytes(message);
  const MacKeys keys = MacKeys::of({1, 2, 3});
  const Mac cookie{9, 9, 9};
  write_macs(bytes, keys, cookie);
  EXPECT_TRUE(mac1_holds(bytes, keys));
  EXPECT_TRUE(mac2_holds(bytes, cookie));
  EXPECT_FALSE(mac1_holds(bytes, MacKeys::of({1, 2, 4})));
  EXPECT_FALSE(mac2_holds(bytes, Mac{9, 9, 8}));
  for (size_t at = 0; at < bytes.size(); ++at) {
    Bytes altered = bytes;
    altered[at] ^= 1;
    EXPECT_EQ(mac1_holds(altered, keys), at >= bytes.size() - sizeof(Mac)) << "byte " << at;
    EXPECT_FALSE(mac2_holds(altered, cookie)) << "byte " << at;
  }
  write_macs(bytes, keys, std::nullopt);
  EXPECT_TRUE(sodium_is_zero(bytes.data() + bytes.size() - sizeof(Mac), sizeof(Mac)));
}

TEST(Macs, AreKeyedAsTheTextSays) {
  const noise::PublicDh key{5};
  Bytes input = from_hex("736b7965646765206d616331");  // "skyedge mac1"
  input.insert(input.end(), key.begin(), key.end());
  std::array<uint8_t, 32> wanted;
  crypto_generichash(wanted.data(), wanted.size(), input.data(), input.size(), nullptr, 0);
  EXPECT_EQ(MacKeys::of(key).mac1, wanted);
}

TEST(Cookie, OpensOnlyForTheMessageItAnswers) {
  const MacKeys keys = MacKeys::of({1});
  InitiationMessage answered{.sender = Be32(77), .mac1 = {4, 5, 6}};
  const Mac cookie{1, 2, 3};
  CookieMessage message = seal_cookie(cookie, keys, answered, {8});
  EXPECT_EQ(message.receiver.get(), 77u);
  EXPECT_EQ(open_cookie(message, keys, answered.mac1), cookie);
  EXPECT_FALSE(open_cookie(message, keys, Mac{4, 5, 7}));
  EXPECT_FALSE(open_cookie(message, MacKeys::of({2}), answered.mac1));
  for (size_t at = 0; at < sizeof message.sealed; ++at) {
    CookieMessage altered = message;
    altered.sealed[at] ^= 1;
    EXPECT_FALSE(open_cookie(altered, keys, answered.mac1)) << "byte " << at;
  }
}

TEST(Parse, FormIsCheckedFirst) {
  const Bytes good = to_bytes(ResponseMessage{.sender = Be32(1), .receiver = Be32(0xabcdef01)});
  EXPECT_TRUE(parse<ResponseMessage>(good).has_value());
  EXPECT_EQ(message_type(good), MessageType::response);
  EXPECT_EQ(receiver_index(good), 0xabcdef01u);
  EXPECT_EQ(receiver_index(to_bytes(CookieMessage{.receiver = Be32(3)})), 3u);
  EXPECT_EQ(receiver_index(to_bytes(InitiationMessage{})), std::nullopt);
  for (size_t length = 0; length < good.size(); ++length) {
    EXPECT_FALSE(parse<ResponseMessage>(ByteView(good).first(length)).has_value());
    EXPECT_EQ(message_type(ByteView(good).first(length)), std::nullopt);
  }
  EXPECT_FALSE(parse<CookieMessage>(ByteView(good).first(sizeof(CookieMessage))).has_value());
  for (const size_t reserved : {1u, 2u, 3u}) {
    Bytes altered = good;
    altered[reserved] = 1;
    EXPECT_FALSE(parse<ResponseMessage>(altered).has_value());
  }
}

TEST(Identity, DhKeyFollowsFromTheEd25519Key) {
  const auto seed = array_from_hex<32>("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60");
  const Identity identity = Identity::from_seed(seed);
  EXPECT_EQ(identity.key, array_from_hex<32>("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"));
  const auto dh = dh_key_of(identity.key);
  ASSERT_TRUE(dh.has_value());
  EXPECT_EQ(identity.dh.public_key, *dh);
  PublicKey zero{};
  EXPECT_FALSE(dh_key_of(zero).has_value());
}

TEST(Ration, AllowsABurstAndThenTheRate) {
  Ration ration({.per_second = 10, .burst = 3});
  const uint64_t start_ns = 5'000'000'000;
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(ration.take(start_ns));
  EXPECT_FALSE(ration.take(start_ns));
  EXPECT_FALSE(ration.take(start_ns + 99'999'999));
  EXPECT_TRUE(ration.take(start_ns + 100'000'000));
  EXPECT_FALSE(ration.take(start_ns + 100'000'000));
  int taken = 0;
  for (uint64_t t = 0; t < 10'000'000'000; t += 1'000'000) taken += ration.take(start_ns + 1'000'000'000 + t);
  EXPECT_EQ(taken, 102);
}

TEST(SeededRandom, RepeatsItselfAndNamesNothingZero) {
  SeededRandom one(42), two(42), other(43);
  const auto number = one.number<uint64_t>();
  EXPECT_EQ(number, two.number<uint64_t>());
  EXPECT_NE(number, other.number<uint64_t>());
  for (int i = 0; i < 2000; ++i) EXPECT_NE(one.nonzero<uint8_t>(), 0);
}

}  // namespace
}  // namespace sky::controlplane
