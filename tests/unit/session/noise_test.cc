// The protocol core against published vectors: those of cacophony (the reference generator) for
// Noise_IKpsk2_25519_ChaChaPoly_SHA512, one carried here and all that stand in shared/data, and RFC 7748.
#include "controlplane/session/noise.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <sstream>

#include "controlplane/session/identity.h"
#include "tests/unit/session/hex.h"

namespace sky::controlplane {
namespace {

using Bytes = std::vector<uint8_t>;

struct Message {
  std::string payload;
  std::string ciphertext;
};

struct Vector {
  std::string prologue, pre_shared, initiator_static, initiator_ephemeral, responder_static, responder_ephemeral;
  std::string responder_public, hash;
  std::vector<Message> messages;
};

const Vector kCarried{
    .prologue = "4a6f686e2047616c74",
    .pre_shared = "54686973206973206d7920417573747269616e20706572737065637469766521",
    .initiator_static = "e61ef9919cde45dd5f82166404bd08e38bceb5dfdfded0a34c8df7ed542214d1",
    .initiator_ephemeral = "893e28b9dc6ca8d611ab664754b8ceb7bac5117349a4439a6b0569da977c464a",
    .responder_static = "4a3acbfdb163dec651dfa3194dece676d437029c62a408b4c5ea9114246e4893",
    .responder_ephemeral = "bbdb4cdbd309f1a1f2e1456967fe288cadd6f712d65dc7b7793d5e63da6b375b",
    .responder_public = "31e0303fd6418d2f8c0e78b91f22e8caed0fbe48656dcf4767e4834f701b8f62",
    .hash =
        "2dc8ebd73d335420672519a6814c094547106de806c69a00aeac5271a261040a"
        "1f5af61714e7b0439d4281152f79326f2ff6fbe353a46fda11dfb988b6637f74",
    .messages = {
        {"4c756477696720766f6e204d69736573",
         "ca35def5ae56cec33dc2036731ab14896bc4c75dbb07a61f879f8e3afa4c7944c813a094f27691670ba5263e52d56bcd"
         "f134447ee46a1b1c563edf3b4868526c34a26a128d48f56f7a3e7aa98d62d47957fb0dc98077636c99d84aa830669dcb"
         "9dc317d33276e7a6f5666059597c5ae0"},
        {"4d757272617920526f746862617264",
         "95ebc60d2b1fa672c1f46a8aa265ef51bfe38e7ccb39ec5be34069f144808843d014abee2ade1f5164437c7a6ae6e4e4"
         "ccb17bc054c59b7b102a9f81e89e31"},
        {"462e20412e20486179656b", "25998c594acda3f934904b57016e1be2ecf3cbb302bcf1a64fe99c"},
        {"4361726c204d656e676572", "d1acdb7e3146fba25ba73449542c612d3bc1b09a18a162080e2edb"},
        {"4a65616e2d426170746973746520536179", "fb342a4b841a8adfb007a0d03e82c7d243d5d1db6f038636176606cc527638bdaa"},
        {"457567656e2042f6686d20766f6e2042617765726b",
         "3c387c65c5982f28bbd78d9fa8f80cd343b6d483373b2e5406be2c18c38ddbc8f86f5f30ea"},
    }};

noise::KeyPair pair_of(const std::string& secret) {
  return noise::KeyPair::from_secret(noise::SecretDh(array_from_hex<32>(secret)));
}

/// Both sides of a vector, message by message; `resp`'s view of the payloads and the chain secrets must agree.
struct Replay {
  explicit Replay(const Vector& vector)
      : initiator_static(pair_of(vector.initiator_static)),
        responder_static(pair_of(vector.responder_static)),
        prologue(from_hex(vector.prologue)),
        pre_shared(array_from_hex<32>(vector.pre_shared)),
        initiator(noise::HandshakeState::initiator(prologue, initiator_static, responder_static.public_key)),
        responder(noise::HandshakeState::responder(prologue, responder_static)) {}

  noise::KeyPair initiator_static, responder_static;
  Bytes prologue;
  Secret<32> pre_shared;
  noise::HandshakeState initiator, responder;
};

void expect_first_message(Replay& replay, const Vector& vector) {
  const auto payload = from_hex(vector.messages[0].payload);
  Bytes out(noise::kIdentityBytes + payload.size() + noise::kSealBytes);
  const auto own_view = noise::agree(replay.initiator_static.secret, replay.responder_static.public_key);
  ASSERT_TRUE(own_view.has_value());
  ASSERT_TRUE(replay.initiator.write_initiation(pair_of(vector.initiator_ephemeral), *own_view, payload, out));
  EXPECT_EQ(out, from_hex(vector.messages[0].ciphertext));

  ASSERT_TRUE(replay.responder.read_identity(ByteView(out).first(noise::kIdentityBytes)));
  EXPECT_EQ(replay.responder.peer_static(), replay.initiator_static.public_key);
  const auto peer_view = noise::agree(replay.responder_static.secret, replay.responder.peer_static());
  ASSERT_TRUE(peer_view.has_value());
  Bytes read(payload.size());
  ASSERT_TRUE(replay.responder.read_payload(*peer_view, ByteView(out).subspan(noise::kIdentityBytes), read));
  EXPECT_EQ(read, payload);
}

void expect_second_message(Replay& replay, const Vector& vector) {
  const auto payload = from_hex(vector.messages[1].payload);
  Bytes out(noise::kDhBytes + payload.size() + noise::kSealBytes);
  ASSERT_TRUE(replay.responder.write_response(pair_of(vector.responder_ephemeral), replay.pre_shared, payload, out));
  EXPECT_EQ(out, from_hex(vector.messages[1].ciphertext));
  Bytes read(payload.size());
  ASSERT_TRUE(replay.initiator.read_response(replay.pre_shared, out, read));
  EXPECT_EQ(read, payload);
}

void expect_vector(const Vector& vector) {
  Replay replay(vector);
  EXPECT_EQ(replay.responder_static.public_key, array_from_hex<32>(vector.responder_public));
  ASSERT_NO_FATAL_FAILURE(expect_first_message(replay, vector));
  ASSERT_NO_FATAL_FAILURE(expect_second_message(replay, vector));
  const auto hash = array_from_hex<64>(vector.hash);
  EXPECT_EQ(replay.initiator.hash(), hash);
  EXPECT_EQ(replay.responder.hash(), hash);

  const auto keys = replay.initiator.split();
  const auto theirs = replay.responder.split();
  EXPECT_TRUE(keys.initiator_to_responder == theirs.initiator_to_responder);
  EXPECT_TRUE(keys.responder_to_initiator == theirs.responder_to_initiator);
  noise::CipherState to_responder, to_initiator;
  to_responder.set_key(keys.initiator_to_responder);
  to_initiator.set_key(keys.responder_to_initiator);
  for (size_t i = 2; i < vector.messages.size(); ++i) {
    const auto payload = from_hex(vector.messages[i].payload);
    Bytes out(payload.size() + noise::kSealBytes);
    (i % 2 == 0 ? to_responder : to_initiator).seal({}, payload, out);
    EXPECT_EQ(out, from_hex(vector.messages[i].ciphertext)) << "message " << i + 1;
  }
}

TEST(Noise, CarriedVectorHolds) {
  expect_vector(kCarried);
}

std::string read_xz(const std::filesystem::path& path) {
  const std::string command = "xz -dc '" + path.string() + "'";
  const std::unique_ptr<FILE, int (*)(FILE*)> pipe(popen(command.c_str(), "r"), pclose);
  std::string text;
  std::array<char, 65536> part;
  while (const size_t got = fread(part.data(), 1, part.size(), pipe.get())) text.append(part.data(), got);
  return text;
}

TEST(Noise, EveryPublishedVectorHolds) {
  const char* given = std::getenv("SKYEDGE_SHARED_DATA");
  const auto path = std::filesystem::path(given ? given : "../shared/data") / "vectors/cacophony.txt.xz";
  if (!std::filesystem::exists(path)) GTEST_SKIP() << "skipped: shared/data absent";
  size_t seen = 0;
  const auto file = nlohmann::json::parse(read_xz(path));
  for (const auto& entry : file.at("vectors")) {
    if (entry.at("protocol_name") != "Noise_IKpsk2_25519_ChaChaPoly_SHA512") continue;
    ++seen;
    Vector vector{.prologue = entry.at("init_prologue"),
                  .pre_shared = entry.at("init_psks").at(0),
                  .initiator_static = entry.at("init_static"),
                  .initiator_ephemeral = entry.at("init_ephemeral"),
                  .responder_static = entry.at("resp_static"),
                  .responder_ephemeral = entry.at("resp_ephemeral"),
                  .responder_public = entry.at("init_remote_static"),
                  .hash = entry.at("handshake_hash"),
                  .messages = {}};
    for (const auto& message : entry.at("messages")) {
      vector.messages.push_back({message.at("payload"), message.at("ciphertext")});
    }
    expect_vector(vector);
  }
  EXPECT_GE(seen, 1u);
}

// RFC 7748, section 5.2.
TEST(Noise, AgreementIsX25519) {
  const noise::SecretDh scalar(array_from_hex<32>("a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4"));
  const auto point = array_from_hex<32>("e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c");
  const auto shared = noise::agree(scalar, point);
  ASSERT_TRUE(shared.has_value());
  EXPECT_TRUE(*shared ==
              noise::SecretDh(array_from_hex<32>("c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552")));
}

TEST(Noise, AgreementIsX25519OnTheOtherVectorsToo) {
  const auto secret = [](std::string_view text) { return noise::SecretDh(array_from_hex<32>(text)); };
  const auto other =
      noise::agree(secret("4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d"),
                   array_from_hex<32>("e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493"));
  ASSERT_TRUE(other.has_value());
  EXPECT_TRUE(*other == secret("95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957"));

  noise::SecretDh scalar = secret("0900000000000000000000000000000000000000000000000000000000000000");
  auto point = array_from_hex<32>("0900000000000000000000000000000000000000000000000000000000000000");
  for (int turn = 1; turn <= 1'000; ++turn) {
    auto next = noise::agree(scalar, point);
    ASSERT_TRUE(next.has_value());
    std::ranges::copy(scalar.bytes(), point.begin());
    scalar = std::move(*next);
    if (turn == 1) {
      EXPECT_TRUE(scalar == secret("422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079"));
    }
  }
  EXPECT_TRUE(scalar == secret("684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51"));
}

TEST(Identity, KeyOfASeedIsThatOfEveryPublishedVector) {
  const char* given = std::getenv("SKYEDGE_SHARED_DATA");
  const auto path = std::filesystem::path(given ? given : "../shared/data") / "vectors/rfc-nist/ed25519-sign.input.xz";
  if (!std::filesystem::exists(path)) GTEST_SKIP() << "skipped: shared/data absent";
  std::istringstream text(read_xz(path));
  size_t seen = 0;
  // "seed and public key: public key: message: signature and message", hexadecimal
  for (std::string line; std::getline(text, line); ++seen) {
    const auto seed = array_from_hex<32>(line.substr(0, 64));
    EXPECT_EQ(array_from_hex<32>(line.substr(64, 64)), Identity::from_seed(seed).key);
  }
  EXPECT_EQ(1'024u, seen);
}

TEST(Noise, KeysOfSmallOrderAreRefused) {
  const noise::SecretDh secret(array_from_hex<32>(kCarried.initiator_static));
  for (const char* point : {"0000000000000000000000000000000000000000000000000000000000000000",
                            "0100000000000000000000000000000000000000000000000000000000000000",
                            "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
                            "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
                            "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"}) {
    EXPECT_FALSE(noise::agree(secret, array_from_hex<32>(point)).has_value()) << point;
  }
  Replay replay(kCarried);
  Bytes message = from_hex(kCarried.messages[0].ciphertext);
  std::fill_n(message.begin(), noise::kDhBytes, uint8_t{0});
  EXPECT_FALSE(replay.responder.read_identity(ByteView(message).first(noise::kIdentityBytes)).has_value());
}

TEST(Noise, EveryAlteredByteIsFound) {
  const auto first = from_hex(kCarried.messages[0].ciphertext);
  const auto second = from_hex(kCarried.messages[1].ciphertext);
  const Replay fresh(kCarried);
  const auto shared = noise::agree(fresh.responder_static.secret, fresh.initiator_static.public_key);
  ASSERT_TRUE(shared.has_value());
  Bytes payload(first.size() - noise::kIdentityBytes - noise::kSealBytes);
  for (size_t at = 0; at < first.size(); ++at) {
    Bytes altered = first;
    altered[at] ^= 0x10;
    auto responder = fresh.responder;
    const bool read = responder.read_identity(ByteView(altered).first(noise::kIdentityBytes)) &&
                      responder.read_payload(*shared, ByteView(altered).subspan(noise::kIdentityBytes), payload);
    EXPECT_FALSE(read) << "byte " << at;
  }

  Replay replay(kCarried);
  ASSERT_NO_FATAL_FAILURE(expect_first_message(replay, kCarried));
  payload.resize(second.size() - noise::kDhBytes - noise::kSealBytes);
  for (size_t at = 0; at < second.size(); ++at) {
    Bytes altered = second;
    altered[at] ^= 0x10;
    auto initiator = replay.initiator;
    EXPECT_FALSE(initiator.read_response(replay.pre_shared, altered, payload)) << "byte " << at;
  }
  EXPECT_TRUE(replay.initiator.read_response(replay.pre_shared, second, payload));
}

TEST(Noise, PrologueAndPreSharedKeyMustBeTheSame) {
  Replay replay(kCarried);
  const auto first = from_hex(kCarried.messages[0].ciphertext);
  auto other = noise::HandshakeState::responder(from_hex("4a6f686e2047616c75"), replay.responder_static);
  EXPECT_FALSE(other.read_identity(ByteView(first).first(noise::kIdentityBytes)));

  ASSERT_NO_FATAL_FAILURE(expect_first_message(replay, kCarried));
  const auto second = from_hex(kCarried.messages[1].ciphertext);
  Bytes payload(second.size() - noise::kDhBytes - noise::kSealBytes);
  const auto read = replay.initiator.read_response(Secret<32>(), second, payload);
  ASSERT_FALSE(read);
  EXPECT_NE(read.error().message.find("pre-shared key"), std::string::npos);
}

TEST(Secret, IsWipedWhenDroppedAndWhenMovedFrom) {
  using Key = Secret<32>;
  alignas(Key) std::array<uint8_t, sizeof(Key)> memory;
  const auto bytes = array_from_hex<32>(kCarried.pre_shared);
  Key* key = new (memory.data()) Key(bytes);
  EXPECT_TRUE(std::ranges::equal(memory, bytes));
  Key moved(std::move(*key));
  EXPECT_TRUE(sodium_is_zero(memory.data(), memory.size()));
  EXPECT_TRUE(moved == Key(bytes));
  *key = moved;
  EXPECT_TRUE(std::ranges::equal(memory, bytes));
  key->~Key();
  EXPECT_TRUE(sodium_is_zero(memory.data(), memory.size()));
}

TEST(Secret, NoneIsLeftInADroppedHandshake) {
  using noise::HandshakeState;
  alignas(HandshakeState) std::array<uint8_t, sizeof(HandshakeState)> memory{};
  const Replay replay(kCarried);
  auto* state = new (memory.data()) HandshakeState(replay.initiator);
  const auto own = replay.initiator_static.secret.bytes();
  const auto found = [&] { return !std::ranges::search(memory, own).empty(); };
  EXPECT_TRUE(found());
  state->~HandshakeState();
  EXPECT_FALSE(found());
}

}  // namespace
}  // namespace sky::controlplane
