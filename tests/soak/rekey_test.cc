// Keys that step under traffic and under attack: nothing is lost by it, and nothing that was sealed under a key that is
// gone, or by nobody, is taken.
#include <gtest/gtest.h>

#include <iostream>
#include <random>

#include "tests/soak/two_nodes.h"
#include "tests/support/soak.h"

namespace sky::soak {
namespace {

constexpr uint64_t kHoldNs = 10 * kMs;
constexpr uint64_t kAgeNs = 200 * kMs;

dataplane::KeyPolicy policy() {
  dataplane::KeyPolicy made = dataplane::KeyPolicy::of_age(kAgeNs, 1);
  made.hold_ns = kHoldNs;
  made.step_bytes = 15'000;
  made.stop_bytes = 1'000'000;
  return made;
}

void expect_at_rest(TwoNodes& two) {
  two.turn(kMs);
  two.come_to_rest();
  EXPECT_EQ(0u, two.lost());
  two.a().expect_at_rest();
  two.b().expect_at_rest();
}

TEST(Rekey, AThousandEpochsUnderLoadLoseNothing) {
  const uint32_t epochs = soak_size(1'000u, 10'000u);
  std::mt19937_64 random(6);
  TwoNodes two(policy());
  const int64_t dropped = two.a().total().drops() + two.b().total().drops();  // by a link that was not up yet
  uint32_t links = 0, sessions = 0, handshakes = 0;
  while (links + two.link_key().step < epochs) {
    const uint32_t until = two.link_key().step + 20 + random() % 200;
    while (two.link_key().step < until) {
      // Bytes make most steps; where little is sent for a while, time does.
      const bool quiet = random() % 64 == 0;
      for (unsigned ms = quiet ? kAgeNs / kMs : 10; ms > 0; --ms) two.turn(kMs, quiet ? ms % 8 == 0 : 8, random() % 8);
    }
    links += two.link_key().step;
    sessions += two.session_key().step;
    for (unsigned ms = 0; ms < 3 * kHoldNs / kMs; ++ms) two.turn(kMs, 4, 4);
    two.shake_hands();
    ++handshakes;
    ASSERT_EQ(0u, two.lost());
  }
  EXPECT_EQ(dropped, two.a().total().drops() + two.b().total().drops()) << two.a().total() << two.b().total();
  EXPECT_EQ(0u, two.flaps());
  EXPECT_GT(sessions, epochs / 2);
  expect_at_rest(two);
  std::cout << "figure: " << links << " key epochs of a link, " << sessions << " of a session, " << handshakes
            << " handshakes under " << two.sent() << " packets, 0 lost\n";
}

// --- old frames

class OldFrames : public testing::Test {
 protected:
  /// Something that ends keys, under load whose frames are written down.
  void live_on(unsigned round) {
    two.record = true;
    const uint32_t before = two.link_key().step;
    switch (round % 4) {
      case 0:
        while (two.link_key().step < before + 3) two.turn(kMs, 16, 4);
        break;
      case 1:
        while (two.link_key().step == before) two.turn(kMs, two.link_key().step % 2, 1);
        break;
      case 2:
        for (unsigned ms = 0; ms < 3 * kHoldNs / kMs; ++ms) two.turn(kMs, 8, 8);
        two.shake_hands();
        for (unsigned ms = 0; ms < 10; ++ms) two.turn(kMs, 8, 8);
        break;
      default:
        ++restarts;
        two.restart_b();
        for (unsigned ms = 0; ms < 10; ++ms) two.turn(kMs, 8, 8);
    }
    two.record = false;
  }
  /// So many of all that were written down, drawn at random, into that port: each refused for its own reason, and the
  /// packets beside them arrive.
  void replay(uint64_t count, unsigned port) {
    Change wanted;
    two.settle();
    two.b().change();
    for (uint64_t sent = 0; sent < count;) {
      std::vector<Bytes> burst;
      for (; burst.size() < 60 && sent < count; ++sent) {
        const Seen& old = two.seen[random() % two.seen.size()];
        ++wanted.of(port == 0 ? two.verdict_of_frame(old) : two.verdict_of_datagram(old));
        burst.push_back(port == 0 ? old.frame
                                  : two.transit.seal(packet(to_underlying(PacketType::datagram),
                                                            TwoNodes::kTransitRoute, old.datagram)));
      }
      honest += two.attack(port, burst);
    }
    Change found = two.b().change();
    refused += found;
    for (const Counter moved : {Counter::received, Counter::delivered_tun, Counter::delivered_local,
                                Counter::injected_probe, Counter::transmitted})
      found.of(moved) = 0;
    EXPECT_EQ(wanted, found);
  }

  TwoNodes two{policy()};
  std::mt19937_64 random{2};
  uint64_t honest = 0;
  unsigned restarts = 0;
  Change refused;
};

TEST_F(OldFrames, OfAnyEpochHandshakeOrLifeAreRefused) {
  const unsigned rounds = soak_size(12u, 200u);
  const uint64_t each = soak_size(5'000, 25'000);
  for (unsigned round = 0; round < rounds; ++round) {
    live_on(round);
    for (const unsigned port : {0u, 1u}) replay(each, port);
    ASSERT_EQ(0u, two.lost()) << "round " << round;
    ASSERT_FALSE(HasFailure()) << "round " << round;
  }
  for (const int64_t reason : {refused.no_key, refused.replayed, refused.bad_tag, refused.session_no_key,
                               refused.session_replayed, refused.session_bad_tag})
    EXPECT_GT(reason, 0) << refused;
  expect_at_rest(two);
  std::cout << "figure: " << refused.drops() << " old frames and Datagrams over " << rounds << " rounds with "
            << restarts << " restarts, 0 accepted: " << refused << ", 0 of " << honest << " packets beside them lost\n";
}

// --- forged frames

class Forged : public testing::Test {
 protected:
  static constexpr uint64_t kMost = 6'000;  ///< failed tags until the receiver asks for another key
  static constexpr unsigned kEachMs = 60;

  static dataplane::KeyPolicy few_forgeries() {
    dataplane::KeyPolicy made = dataplane::KeyPolicy::of_age(uint64_t{1} << 50, 1);
    made.hold_ns = kHoldNs;
    made.failed_tags = kMost;
    return made;
  }
  /// As a's newest, but for a counter to come, with any tag and contents.
  Bytes frame() {
    Bytes out = two.last_frame;
    const size_t counter = sizeof(EthernetHeader) + 8 + 4;
    out[counter] = static_cast<uint8_t>(out[counter] + 1);
    for (size_t at = counter + 4; at < out.size(); at += 8) out[at] = static_cast<uint8_t>(random());
    return out;
  }
  /// The same of a Datagram, by a neighbour whose link is good.
  Bytes datagram() {
    Bytes out = two.last_datagram;
    out[4] = static_cast<uint8_t>(out[4] + 1);
    for (size_t at = 8; at < out.size(); at += 8) out[at] = static_cast<uint8_t>(random());
    return two.transit.seal(packet(to_underlying(PacketType::datagram), TwoNodes::kTransitRoute, out));
  }

  TwoNodes two{few_forgeries()};
  std::mt19937_64 random{9};
};

TEST_F(Forged, FramesChangeNothingButTheKeyThatTheyWore) {
  const auto forged = static_cast<int64_t>(soak_size(200'000, 10'000'000));
  two.turn(kMs, 4, 4);
  two.a().change();
  two.b().change();
  for (int64_t sent = 0; sent < forged; sent += kEachMs) {
    for (unsigned i = 0; i < kEachMs && sent + i < forged; ++i) {
      two.b().port(0).push(frame());
      two.b().port(1).push(datagram());
    }
    two.turn(kMs, 4, 4);
  }
  expect_at_rest(two);
  const Change found = two.b().change();
  EXPECT_EQ(forged, found.bad_tag);
  EXPECT_EQ(forged, found.session_bad_tag);
  EXPECT_EQ(2 * forged, found.drops()) << found;
  EXPECT_EQ(0, two.a().change().drops());
  EXPECT_EQ(0u, two.flaps());
  EXPECT_EQ(std::set<uint32_t>{TwoNodes::kTransitRoute}, two.damaged) << "the circuit that forged Datagrams came by";
  // Asked for with the next ping, of 50 ms, after so many, and done a little later: in all not twice as many more.
  EXPECT_GE(two.link_key().step, forged / (3 * kMost));
  EXPECT_LE(two.link_key().step, forged / kMost);
  EXPECT_EQ(0u, two.session_key().step);
  std::cout << "figure: " << forged
            << " forged frames and as many forged Datagrams: 0 delivered, the link's key stepped "
            << two.link_key().step << " times (limit " << kMost << "), 0 of " << two.sent() << " packets lost\n";
}

}  // namespace
}  // namespace sky::soak
