// One handshake at a time: who ends with which keys, and what is refused by which name.
#include "controlplane/session/handshake.h"

#include <gtest/gtest.h>

#include "tests/unit/session/node.h"

namespace sky::controlplane {
namespace {

constexpr uint64_t kStart_ns = 1000 * kSecond_ns;

struct Final {
  Keys initiator, responder;
};

/// One whole handshake, confirmed.
Final run(Node& from, Node& to, uint64_t now_ns, bool live = false, bool trusted = false) {
  const Bytes initiation = from.initiate(now_ns);
  auto step = to.receive(initiation, now_ns, live, Node::kSource, trusted);
  EXPECT_TRUE(step && step->keys);
  const Bytes reply = to.handshake->release_reply(step->keys->key_id);
  auto keys = from.handshake->on_response(reply, now_ns);
  EXPECT_TRUE(keys.has_value());
  EXPECT_TRUE(to.handshake->confirm(step->keys->key_id));
  return {std::move(*keys), std::move(*step->keys)};
}

template <typename T>
const char* reason_of(const Outcome<T>& outcome) {
  return outcome ? "none" : name_of(outcome.error().reason);
}

TEST(Handshake, BothEndWithTheSameKeys) {
  for (const Prologue& prologue : {kLinkPrologue, kSessionPrologue}) {
    Pair pair(prologue);
    pair.lower.offer.parity = 1;
    pair.lower.offer.lanes = 3;
    pair.higher.offer.least_kind = 2;
    const auto [first, second] = run(pair.lower, pair.higher, kStart_ns);
    EXPECT_TRUE(match(first, second));
    EXPECT_FALSE(first.tx_chain == first.rx_chain);
    EXPECT_TRUE(first.initiator);
    EXPECT_EQ(first.peer, pair.higher.gate.identity().key);
    EXPECT_EQ(second.peer, pair.lower.gate.identity().key);
    EXPECT_EQ(second.theirs.receive_index, 10u);
    EXPECT_EQ(second.theirs.parity, 1);
    EXPECT_EQ(second.theirs.lanes, 3);
    EXPECT_EQ(second.theirs.boot_id, 10'000u);
    EXPECT_EQ(first.theirs.least_kind, 2);
    EXPECT_EQ(first.theirs.session_id, pair.lower.offer.session_id) << "the initiator names the session";
    EXPECT_FALSE(pair.lower.handshake->pending());
    EXPECT_FALSE(pair.higher.handshake->pending());
  }
}

TEST(Handshake, EachHasKeysOfItsOwn) {
  Pair pair;
  const auto first = run(pair.lower, pair.higher, kStart_ns);
  const auto second = run(pair.lower, pair.higher, kStart_ns + 120 * kSecond_ns, true, true);
  const auto third = run(pair.higher, pair.lower, kStart_ns + 240 * kSecond_ns, true, true);
  EXPECT_TRUE(match(second.initiator, second.responder));
  EXPECT_TRUE(match(third.initiator, third.responder));
  EXPECT_FALSE(first.initiator.tx_chain == second.initiator.tx_chain);
  EXPECT_NE(first.initiator.key_id, second.initiator.key_id);
  EXPECT_NE(second.initiator.key_id, third.initiator.key_id);
}

TEST(Handshake, NoAnswerIsLongerThanWhatItAnswers) {
  Pair pair;
  const Bytes initiation = pair.lower.initiate(kStart_ns);
  auto step = pair.higher.receive(initiation, kStart_ns);
  ASSERT_TRUE(step && step->keys);
  EXPECT_EQ(initiation.size(), 168u);
  EXPECT_EQ(pair.higher.handshake->release_reply(step->keys->key_id).size(), 124u);
  pair.lower.handshake->stop();
  auto cookie = pair.higher.receive(pair.lower.initiate(kStart_ns), kStart_ns, true);
  ASSERT_TRUE(cookie && !cookie->keys);
  EXPECT_EQ(cookie->send.size(), 68u);
}

TEST(Handshake, TheAnswerIsHeldUntilItsKeysAreInstalled) {
  Pair pair;
  const Bytes initiation = pair.lower.initiate(kStart_ns);
  auto step = pair.higher.receive(initiation, kStart_ns);
  ASSERT_TRUE(step && step->keys);
  EXPECT_TRUE(step->send.empty());
  EXPECT_FALSE(step->keys->initiator) << "provisional";
  EXPECT_STREQ(reason_of(pair.higher.receive(initiation, kStart_ns)), "stale") << "repeated before the ack";
  EXPECT_TRUE(pair.higher.handshake->release_reply(step->keys->key_id + 1).empty());
  const Bytes reply = pair.higher.handshake->release_reply(step->keys->key_id);
  ASSERT_FALSE(reply.empty());
  const auto again = pair.higher.receive(initiation, kStart_ns);
  ASSERT_TRUE(again.has_value()) << "repeated because the answer was lost";
  EXPECT_FALSE(again->keys);
  EXPECT_EQ(again->send, reply);
  EXPECT_FALSE(pair.higher.handshake->confirm(step->keys->key_id + 1));
  EXPECT_TRUE(pair.higher.handshake->confirm(step->keys->key_id));
  EXPECT_FALSE(pair.higher.handshake->confirm(step->keys->key_id));
}

TEST(Handshake, AForeignKeyIsRefused) {
  Pair pair;
  Node stranger(30, identity_of(3), pair.higher.gate.identity().key);
  EXPECT_STREQ(reason_of(pair.higher.receive(stranger.initiate(kStart_ns), kStart_ns)), "unknown_peer");
}

TEST(Handshake, AClaimedKeyIsNoProof) {
  // Knows both public keys, has neither secret: seals the peer's key as its own.
  Pair pair;
  Identity forged = identity_of(3);
  forged.key = pair.lower.gate.identity().key;
  forged.dh.public_key = pair.lower.gate.identity().dh.public_key;
  Node stranger(30, forged, pair.higher.gate.identity().key);
  EXPECT_STREQ(reason_of(pair.higher.receive(stranger.initiate(kStart_ns), kStart_ns)), "seal");
  EXPECT_FALSE(pair.higher.handshake->pending());
}

TEST(Handshake, AnotherPreSharedKeyIsRefused) {
  const Secret<32> one(std::array<uint8_t, 32>{1}), other(std::array<uint8_t, 32>{2});
  Node from(10, identity_of(1), identity_of(2).key, kLinkPrologue, one);
  Node to(20, identity_of(2), identity_of(1).key, kLinkPrologue, other);
  auto step = to.receive(from.initiate(kStart_ns), kStart_ns);
  ASSERT_TRUE(step && step->keys);
  const auto keys = from.handshake->on_response(to.handshake->release_reply(step->keys->key_id), kStart_ns);
  EXPECT_STREQ(reason_of(keys), "seal");
  EXPECT_TRUE(from.handshake->pending()) << "goes on trying";
}

TEST(Handshake, EveryAlteredByteIsRefused) {
  Pair pair;
  const Bytes initiation = pair.lower.initiate(kStart_ns);
  const auto to_higher = MacKeys::of(pair.higher.gate.identity().dh.public_key);
  const size_t macs = 2 * sizeof(Mac);
  uint64_t now_ns = kStart_ns;
  for (size_t at = 8; at < initiation.size() - macs; ++at) {
    Bytes altered = initiation;
    altered[at] ^= 0x20;
    now_ns += kSecond_ns;
    EXPECT_STREQ(reason_of(pair.higher.receive(altered, now_ns)), "mac1") << "byte " << at;
    write_macs(altered, to_higher, std::nullopt);
    EXPECT_STREQ(reason_of(pair.higher.receive(altered, now_ns)), "seal") << "byte " << at;
  }
  auto step = pair.higher.receive(initiation, now_ns);
  ASSERT_TRUE(step && step->keys);
  const Bytes reply = pair.higher.handshake->release_reply(step->keys->key_id);
  const auto to_lower = MacKeys::of(pair.lower.gate.identity().dh.public_key);
  for (size_t at = 0; at < reply.size() - macs; ++at) {
    if (at >= 4 && at < 8) continue;  // the sender's index names nothing: nobody answers a response
    Bytes altered = reply;
    altered[at] ^= 0x20;
    now_ns += kSecond_ns;
    EXPECT_FALSE(pair.lower.handshake->on_response(altered, now_ns).has_value()) << "byte " << at;
    write_macs(altered, to_lower, std::nullopt);
    const char* wanted = at < 4 ? "malformed" : at < 12 ? "unexpected" : "seal";
    EXPECT_STREQ(reason_of(pair.lower.handshake->on_response(altered, now_ns)), wanted) << "byte " << at;
  }
  const auto keys = pair.lower.handshake->on_response(reply, now_ns + kSecond_ns);
  ASSERT_TRUE(keys.has_value()) << "what was forged spoilt nothing";
  EXPECT_TRUE(match(*keys, *step->keys));
}

TEST(Handshake, NoCommonGroundIsNamedOnTheSideThatFindsIt) {
  Pair pair;
  pair.lower.offer.suites = 2;
  auto refused = pair.higher.receive(pair.lower.initiate(kStart_ns), kStart_ns);
  ASSERT_STREQ(reason_of(refused), "mismatch");
  EXPECT_NE(refused.error().error.message.find("suites: found 0x02"), std::string::npos);
  EXPECT_FALSE(pair.higher.handshake->pending());

  Pair sessions(kSessionPrologue);
  sessions.lower.offer.session_id = 0;
  EXPECT_STREQ(reason_of(sessions.higher.receive(sessions.lower.initiate(kStart_ns), kStart_ns)), "mismatch");
  Pair links;
  links.lower.offer.session_id = 5;
  EXPECT_STREQ(reason_of(links.higher.receive(links.lower.initiate(kStart_ns), kStart_ns)), "mismatch");
}

TEST(Handshake, AReplayedInitiationTouchesNothingLive) {
  Pair pair;
  const Bytes old = pair.lower.initiate(kStart_ns);
  pair.lower.handshake->stop();  // never answered: only its recorder has it
  const Bytes answered = pair.lower.initiate(kStart_ns);
  auto step = pair.higher.receive(answered, kStart_ns);
  ASSERT_TRUE(step && step->keys);
  pair.higher.handshake->confirm(step->keys->key_id);
  EXPECT_STREQ(reason_of(pair.higher.receive(answered, kStart_ns, true)), "stale");
  EXPECT_STREQ(reason_of(pair.higher.receive(old, kStart_ns, true)), "stale") << "of the same run";
  EXPECT_FALSE(pair.higher.handshake->pending());
}

TEST(Handshake, AReplayFromAnEarlierRunGetsNoFurtherThanAProvisionalAnswer) {
  Pair pair;
  const Bytes old = pair.lower.initiate(kStart_ns);
  const uint64_t later_ns = kStart_ns + 3600 * kSecond_ns;
  Node restarted(11, pair.lower.gate.identity(), pair.higher.gate.identity().key);

  // With the link live it gets a cookie, which goes to whoever has the address.
  const auto live = pair.higher.receive(old, later_ns, true);
  ASSERT_TRUE(live.has_value());
  EXPECT_FALSE(live->keys);
  EXPECT_EQ(message_type(live->send), MessageType::cookie);

  // With nothing live it takes the free place, and the peer, who proves its address, takes it over.
  const auto replayed = pair.higher.receive(old, later_ns);
  ASSERT_TRUE(replayed && replayed->keys);
  pair.higher.handshake->release_reply(replayed->keys->key_id);
  const Bytes genuine = restarted.initiate(later_ns);
  const auto cookie = pair.higher.receive(genuine, later_ns);
  ASSERT_TRUE(cookie && !cookie->keys);
  const auto proving = restarted.handshake->on_cookie(cookie->send, later_ns);
  ASSERT_TRUE(proving.has_value());
  const auto step = pair.higher.receive(*proving, later_ns);
  ASSERT_TRUE(step && step->keys);
  EXPECT_TRUE(pair.higher.handshake->release_reply(replayed->keys->key_id).empty()) << "displaced";
  EXPECT_STREQ(reason_of(pair.higher.receive(old, later_ns)), "stale") << "and never comes back";
  const auto keys =
      restarted.handshake->on_response(pair.higher.handshake->release_reply(step->keys->key_id), later_ns);
  ASSERT_TRUE(keys.has_value());
  EXPECT_TRUE(match(*keys, *step->keys));
}

TEST(Handshake, ABareInitiationForALiveLinkMustProveItsAddress) {
  Pair pair;
  run(pair.lower, pair.higher, kStart_ns);
  const uint64_t later_ns = kStart_ns + 60 * kSecond_ns;
  const Bytes bare = pair.lower.initiate(later_ns);
  auto step = pair.higher.receive(bare, later_ns, true);
  ASSERT_TRUE(step && !step->keys);
  const auto proving = pair.lower.handshake->on_cookie(step->send, later_ns);
  ASSERT_TRUE(proving.has_value());
  EXPECT_STREQ(reason_of(pair.lower.handshake->on_cookie(step->send, later_ns)), "unexpected") << "once each";
  constexpr std::array<uint8_t, 6> elsewhere{2, 0, 0, 0, 0, 9};
  step = pair.higher.receive(*proving, later_ns, true, elsewhere);
  EXPECT_TRUE(step && !step->keys) << "another address than the cookie's";
  step = pair.higher.receive(*proving, later_ns, true);
  EXPECT_TRUE(step && step->keys);

  // The cookie serves for the next two minutes, and inside the live link none is asked for.
  pair.lower.handshake->stop();
  step = pair.higher.receive(pair.lower.initiate(later_ns + 50 * kSecond_ns), later_ns + 50 * kSecond_ns, true);
  EXPECT_TRUE(step && step->keys);
  pair.lower.handshake->stop();
  pair.higher.handshake->stop();
  step = pair.lower.receive(pair.higher.initiate(later_ns), later_ns, true, Node::kSource, true);
  EXPECT_TRUE(step && step->keys);
}

TEST(Handshake, AForgedCookieIsRefused) {
  Pair pair;
  const Bytes bare = pair.lower.initiate(kStart_ns);
  auto step = pair.higher.receive(bare, kStart_ns, true);
  ASSERT_TRUE(step && !step->keys);
  for (size_t at = 0; at < step->send.size(); ++at) {
    if (at >= 4 && at < 8) continue;  // the sender's index names nothing here
    Bytes altered = step->send;
    altered[at] ^= 4;
    EXPECT_FALSE(pair.lower.handshake->on_cookie(altered, kStart_ns).has_value()) << "byte " << at;
  }
  EXPECT_TRUE(pair.lower.handshake->on_cookie(step->send, kStart_ns).has_value());
}

TEST(Handshake, CrossingInitiationsTheLowerKeysCounts) {
  Pair pair;
  const Bytes from_lower = pair.lower.initiate(kStart_ns);
  const Bytes from_higher = pair.higher.initiate(kStart_ns);
  for (const bool live : {false, true}) {
    EXPECT_STREQ(reason_of(pair.lower.receive(from_higher, kStart_ns + 5'000'000, live)), "ours_first");
  }

  // The other one has an initiation pending: the place is taken, so the address must be proven first.
  auto step = pair.higher.receive(from_lower, kStart_ns + 5'000'000);
  ASSERT_TRUE(step && !step->keys);
  const auto proving = pair.lower.handshake->on_cookie(step->send, kStart_ns + 10'000'000);
  ASSERT_TRUE(proving.has_value());
  step = pair.higher.receive(*proving, kStart_ns + 15'000'000);
  ASSERT_TRUE(step && step->keys);
  EXPECT_FALSE(pair.higher.handshake->expects(parse<InitiationMessage>(from_higher)->sender.get())) << "dropped";
  EXPECT_GE(pair.higher.handshake->deadline_ns(), kStart_ns + 15'000'000 + kSecond_ns / 2) << "waits";
  const auto keys =
      pair.lower.handshake->on_response(pair.higher.handshake->release_reply(step->keys->key_id), kStart_ns);
  ASSERT_TRUE(keys.has_value());
  EXPECT_TRUE(match(*keys, *step->keys));
  EXPECT_TRUE(pair.higher.handshake->confirm(step->keys->key_id));
  EXPECT_FALSE(pair.higher.handshake->pending());
}

TEST(Handshake, TheLowerKeyCallsAgainWhenItHearsTheOther) {
  Pair pair;
  const Bytes lost = pair.lower.initiate(kStart_ns);  // nobody listened yet
  const uint64_t later_ns = kStart_ns + 500'000'000;
  auto step = pair.lower.receive(pair.higher.initiate(later_ns), later_ns);
  ASSERT_TRUE(step && !step->keys);
  EXPECT_EQ(step->send, lost) << "byte for byte, so an answer to either counts";
}

TEST(Handshake, RetriesBackOffForEver) {
  Pair pair;
  pair.lower.handshake->want(kStart_ns);
  uint64_t now_ns = kStart_ns;
  Bytes last;
  std::vector<uint64_t> gaps;
  for (int i = 0; i < 40; ++i) {
    ASSERT_EQ(pair.lower.handshake->deadline_ns(), now_ns);
    const auto message = pair.lower.handshake->on_timer(pair.lower.offer, now_ns);
    ASSERT_TRUE(message && !message->empty());
    EXPECT_NE(*message, last) << "with a fresh ephemeral";
    last = *message;
    EXPECT_TRUE(pair.lower.handshake->on_timer(pair.lower.offer, now_ns)->empty()) << "not before it is due";
    gaps.push_back(*pair.lower.handshake->deadline_ns() - now_ns);
    now_ns = *pair.lower.handshake->deadline_ns();
  }
  uint64_t whole_ns = kSecond_ns;
  for (const uint64_t gap : gaps) {
    EXPECT_LE(gap, whole_ns);
    EXPECT_GT(gap, whole_ns * 3 / 4 - 1);
    whole_ns = std::min(whole_ns * 2, 30 * kSecond_ns);
  }
  EXPECT_NE(gaps[20], gaps[21]) << "by chance";
  pair.lower.handshake->stop();
  EXPECT_EQ(pair.lower.handshake->deadline_ns(), std::nullopt);
  EXPECT_FALSE(pair.lower.handshake->pending());
}

TEST(Handshake, OnlyTheNewestInitiationTakesAnAnswer) {
  Pair pair;
  const Bytes first = pair.lower.initiate(kStart_ns);
  const uint64_t later_ns = *pair.lower.handshake->deadline_ns();
  const Bytes second = *pair.lower.handshake->on_timer(pair.lower.offer, later_ns);
  auto step = pair.higher.receive(first, later_ns);
  ASSERT_TRUE(step && step->keys);
  const Bytes late = pair.higher.handshake->release_reply(step->keys->key_id);
  EXPECT_STREQ(reason_of(pair.lower.handshake->on_response(late, later_ns)), "unexpected");

  step = pair.higher.receive(second, later_ns);
  ASSERT_TRUE(step && !step->keys) << "an answer is unconfirmed";
  step = pair.higher.receive(*pair.lower.handshake->on_cookie(step->send, later_ns), later_ns);
  ASSERT_TRUE(step && step->keys);
  EXPECT_STREQ(reason_of(pair.higher.receive(first, later_ns)), "stale") << "overtaken";
  const auto keys =
      pair.lower.handshake->on_response(pair.higher.handshake->release_reply(step->keys->key_id), later_ns);
  ASSERT_TRUE(keys.has_value());
  EXPECT_TRUE(match(*keys, *step->keys));
}

TEST(Handshake, ForgedAnswersAreRationed) {
  Pair pair;
  auto step = pair.higher.receive(pair.lower.initiate(kStart_ns), kStart_ns);
  ASSERT_TRUE(step && step->keys);
  const Bytes reply = pair.higher.handshake->release_reply(step->keys->key_id);
  Bytes forged = reply;
  forged[40] ^= 1;
  write_macs(forged, MacKeys::of(pair.lower.gate.identity().dh.public_key), std::nullopt);
  int agreements = 0;
  for (int i = 0; i < 1000; ++i) {
    agreements += std::string(reason_of(pair.lower.handshake->on_response(forged, kStart_ns))) == "seal";
  }
  EXPECT_EQ(agreements, 20);
  EXPECT_TRUE(pair.lower.handshake->on_response(reply, kStart_ns + kSecond_ns).has_value());
}

TEST(Handshake, AnswersToOnePeerAreRationed) {
  const Rate plenty{.per_second = 1000, .burst = 1000};
  Pair pair(kLinkPrologue, {.unproven = plenty, .proven = plenty, .per_source = plenty});
  int answers = 0;
  for (int i = 0; i < 100; ++i) {
    pair.lower.handshake->stop();
    const auto step = pair.higher.receive(pair.lower.initiate(kStart_ns), kStart_ns, true, Node::kSource, true);
    EXPECT_STREQ(reason_of(step), answers < 20 ? "none" : "budget");
    answers += step.has_value();
  }
  EXPECT_EQ(answers, 20);
}

TEST(Handshake, ACookieServesForTwoMinutes) {
  Pair pair;
  const auto cookie = pair.higher.receive(pair.lower.initiate(kStart_ns), kStart_ns, true);
  ASSERT_TRUE(cookie && pair.lower.handshake->on_cookie(cookie->send, kStart_ns));
  const auto has_mac2 = [&](uint64_t now_ns) {
    pair.lower.handshake->stop();
    return parse<InitiationMessage>(pair.lower.initiate(now_ns))->mac2 != Mac{};
  };
  EXPECT_TRUE(has_mac2(kStart_ns + 119 * kSecond_ns));
  EXPECT_FALSE(has_mac2(kStart_ns + 120 * kSecond_ns));
}

TEST(Handshake, ItsOwnKeyIsNoPeer) {
  SeededRandom random(1);
  HandshakeGate gate(identity_of(1), random);
  const auto made = Handshake::create(gate, {.key = identity_of(1).key, .pre_shared = {}, .prologue = kLinkPrologue});
  ASSERT_FALSE(made.has_value());
  EXPECT_NE(made.error().message.find("own key"), std::string::npos);
  EXPECT_FALSE(Handshake::create(gate, {.key = {}, .pre_shared = {}, .prologue = kLinkPrologue}).has_value());
}

}  // namespace
}  // namespace sky::controlplane
