// What strangers and neighbours may put on a wire, in numbers: each frame is refused for its own reason, and honest
// frames beside them lose nothing.
#include <chrono>
#include <functional>
#include <iostream>

#include "tests/packet/crossroads.h"
#include "tests/soak/mutants.h"
#include "tests/support/soak.h"

namespace sky::soak {
namespace {

using namespace sky::test;

constexpr unsigned kBurst = 64;
constexpr unsigned kHonest = 4;  // of a burst
constexpr uint32_t kConsume = 0x321, kOthers = 0x7400, kOtherRoutes = 512;
constexpr uint64_t kFarAhead = uint64_t{1} << 50;  // counters that honest frames do not reach
constexpr uint8_t kDatagram = to_underlying(PacketType::datagram);

class HostileFrames : public Crossroads {
 protected:
  explicit HostileFrames(unsigned ring_frames = 256) : Crossroads({.ring_frames = ring_frames}) {}
  void SetUp() override {
    Crossroads::SetUp();
    std::vector<InstallMessage> puts{
        message(forward_put(kRoute, left.link, right.link, kNext)),
        message(consume_put(kConsume, left.link, far.session, 0)), message(group_put(7, kDomain)),
        message(destination_put("fd00:f::", 32, GroupIndex{7})), message(destination_put("fd00:1::", 32, kLocalGroup))};
    for (uint32_t i = 0; i < kOtherRoutes; ++i)
      puts.push_back(message(forward_put(kOthers + i, spare.link, right.link, kNext)));
    node.install(puts);
    node.change();
  }
  /// Honest frames from `from`; whether just these came out at the right, unchanged.
  void push_honest(LinkPeer& from, unsigned count) {
    const uint32_t route = from.link == left.link ? kRoute : kOthers;
    for (; count > 0; --count, ++honest)
      node.port(port_of(from)).push(from.seal(packet(kDatagram, route, pattern(20 + honest % 400))));
  }
  bool honest_passed(unsigned count) {
    const uint64_t first = honest - count;
    const std::vector<Bytes> out = node.port(1).pop_all();
    if (out.size() != count) return false;
    for (unsigned i = 0; i < count; ++i) {
      const auto frame = right.open(out[i]);
      if (!frame || frame->payload() != pattern(20 + (first + i) % 400)) return false;
    }
    return true;
  }
  uint64_t below(uint64_t end) { return random() % end; }

  std::mt19937_64 random{31};
  uint64_t honest = 0;
};

// --- one sort after the other

class EachSort : public HostileFrames {
 protected:
  struct Hostile {
    Bytes frame;
    Drop reason;
    unsigned port = 0;
  };
  void flood(const char* what, const std::function<Hostile()>& make) {
    const uint64_t count = soak_size(50'000, 10'000'000);
    Change wanted;
    for (uint64_t sent = 0; sent < count;) {
      for (unsigned i = kHonest; i < kBurst && sent < count; ++i, ++sent) {
        const Hostile hostile = make();
        ++wanted.of(hostile.reason);
        node.port(hostile.port).push(hostile.frame);
      }
      push_honest(left, kHonest);
      node.worker_turn();
      ASSERT_TRUE(honest_passed(kHonest)) << what << ", about frame " << sent;
      ASSERT_FALSE(node.port(0).discard() || node.port(2).discard()) << "an answer";
    }
    wanted.received = static_cast<int64_t>(count + honest);
    wanted.transmitted = static_cast<int64_t>(std::exchange(honest, 0));
    const Change found = node.change();
    EXPECT_EQ(wanted, found) << what;
    EXPECT_TRUE(node.tun_read().empty() && node.punts().empty()) << what;
    std::cout << "figure: " << count << " " << what << ", 0 delivered, 0 of " << found.transmitted
              << " honest ones lost\n";
  }
  Header ahead() {
    Header header = left.next_header();
    header.lane_counter = kFarAhead + random() % kFarAhead;
    --left.counter;
    return header;
  }
  Bytes datagram(uint32_t route = kRoute) { return packet(kDatagram, route, pattern(20 + below(400))); }
};

TEST_F(EachSort, Replayed) {
  std::vector<Bytes> capture;
  for (unsigned i = 0; i < 20'000; ++i) {  // more than the window holds
    capture.push_back(left.seal(datagram()));
    ASSERT_EQ(1u, node.exchange(0, {capture.back()}).size());
  }
  node.change();
  flood("replayed", [&] { return Hostile{capture[below(capture.size())], Drop::replayed}; });
}

TEST_F(EachSort, Forged) {
  const Bytes good = left.seal(datagram());
  ASSERT_EQ(1u, node.exchange(0, {good}).size());
  node.change();
  flood("forged", [&] {
    Bytes frame = left.ethernet_towards_node() + ahead().bytes() + part(good, 30);
    for (unsigned i = 0; i < 8; ++i) frame[30 + below(frame.size() - 30)] = static_cast<uint8_t>(random());
    frame[30 + below(16)] ^= static_cast<uint8_t>(1u << below(8));
    return Hostile{frame, Drop::bad_tag};
  });
}

TEST_F(EachSort, GuessedRoutes) {
  flood("guessed route IDs of an authentic neighbour", [&] {
    const auto route = static_cast<uint32_t>(random() | 1u << 31);  // the routes there are have it clear, or are below
    const bool taken = route == kRoute;
    return Hostile{left.seal(datagram(taken ? route + 1 : route)), Drop::unknown_route};
  });
}

TEST_F(EachSort, Garbage) {
  flood("frames of garbage", [&] {
    Bytes frame;
    for (size_t bytes = below(1'520); frame.size() < bytes;) put(frame, random(), 8);
    if (frame.size() < 60) return Hostile{frame, Drop::frame_short};
    const bool ours = below(2) == 0;
    frame[12] = ours ? 0x88 : 0x86;
    frame[13] = 0xB5;
    if (!ours) return Hostile{frame, Drop::not_skywire};
    if (frame.size() > 1'514) return Hostile{frame, Drop::frame_long};
    if (frame[14] >> 4 == 1) frame[14] ^= 0x80;
    return Hostile{frame, Drop::bad_version};
  });
}

TEST_F(EachSort, OfTheWrongLink) {
  flood("frames of the wrong link or for another one's route", [&] {
    if (below(2) == 0) return Hostile{left.seal(datagram(kOthers + below(kOtherRoutes))), Drop::wrong_link};
    // Sealed for one link and put on another's wire.
    const Bytes frame = spare.seal(datagram(kOthers + below(kOtherRoutes)));
    return Hostile{frame, Drop::wrong_port};
  });
}

TEST_F(EachSort, UnderAForeignKey) {
  LinkPeer stranger{left.link, 7, 999};
  stranger.node_mac = left.node_mac;
  flood("frames under a foreign key", [&] {
    if (below(2) == 0) return Hostile{stranger.seal(ahead(), datagram()), Drop::bad_tag};
    return Hostile{left.ethernet_towards_node() + seal_frame(spare.towards_node.step(0), ahead(), datagram()),
                   Drop::bad_tag};
  });
}

// --- mutants at line rate

class Malformed : public HostileFrames {
 protected:
  static constexpr size_t kMutants = 1 << 14;
  static constexpr unsigned kEvery = 64;  ///< bursts of mutants for each burst of honest frames

  void SetUp() override {
    HostileFrames::SetUp();
    node.port(0).poison = true;
    make_corpus();
    spend_rations();
    learn();
  }
  /// A frame of each sort that there is. Half of them were let in before; the other half bear counters to come and a
  /// tag that is wrong already.
  void make_corpus() {
    const Bytes inner = ipv6({.source = "fd00:f::1", .destination = "fd00:1::1", .payload = 300});
    const Bytes packets[] = {packet(kDatagram, kRoute, pattern(200)),
                             packet(kDatagram, kConsume, far.seal(0, inner)),
                             packet(2, 0),
                             packet(4, kConsume, pattern(16)),
                             packet(8, 0, Bytes{1} + pattern(23)),
                             packet(kDatagram, kRoute, pattern(1'400)),
                             packet(65, 0, pattern(40))};
    for (const Bytes& each : packets) {
      corpus.push_back(left.seal(each));
      Header header = left.next_header();
      header.lane_counter = kFarAhead + corpus.size();
      corpus.push_back(left.seal(header, each));
      for (size_t at = 30; at < 46; ++at) corpus.back()[at] ^= 0x5a;  // more than a mutation mends
    }
    for (const uint8_t weak : {0x11, 0x12}) {
      const Header header{.version_kind = weak, .link_index = left.link, .lane_counter = kFarAhead};
      corpus.push_back(left.seal(header, packets[0]));
    }
    for (const auto& [type, bytes] : {std::pair{1, 168}, {2, 124}, {3, 68}, {4, 60}}) {
      Bytes message = pattern(static_cast<size_t>(bytes));
      message[0] = static_cast<uint8_t>(type);
      corpus.push_back(left.ethernet_towards_node() + Header{.version_kind = 0x13, .hop_limit = 0}.bytes() + message);
    }
    for (const Bytes& frame : corpus) node.exchange(0, {frame});
  }
  /// Time stands still: from here on the rations of handshake frames are the port's, and it has none.
  void spend_rations() {
    for (unsigned i = 0; i < 200; ++i) {
      for (const Bytes& frame : corpus) {
        Bytes stranger = frame;
        stranger[11] = static_cast<uint8_t>(i);
        if (frame[14] == 0x13) node.exchange(0, {stranger});
      }
      node.punts();
    }
  }
  /// What becomes of each mutant by itself: it is dropped, and for what reason.
  void learn() {
    node.tun_read();
    node.events();
    node.change();
    while (mutants.size() < kMutants) {
      const Bytes frame = mutator.mutant(corpus);
      node.exchange(0, {frame});
      Change change = node.change();
      ASSERT_TRUE(change.received == 1 && change.drops() == 1) << "was let in: " << change;
      unsigned reason = 0;
      while (change.of(Drop{static_cast<uint8_t>(reason)}) == 0) ++reason;
      mutants.push_back({frame, Drop{static_cast<uint8_t>(reason)}});
    }
  }
  /// Clocks of a turn.
  uint64_t timed_turn() {
    const auto start = std::chrono::steady_clock::now();
    node.worker_turn();
    return static_cast<uint64_t>((std::chrono::steady_clock::now() - start).count());
  }
  static uint64_t median(std::vector<uint64_t> of) {
    std::ranges::nth_element(of, of.begin() + static_cast<ptrdiff_t>(of.size() / 2));
    return of[of.size() / 2];
  }

  struct Mutant {
    Bytes frame;
    Drop reason;
  };
  std::vector<Bytes> corpus;
  std::vector<Mutant> mutants;
  Mutator mutator{18};
};

TEST_F(Malformed, MutantsAtLineRate) {
  const char* text = std::getenv("SKYEDGE_MUTANTS");
  const uint64_t count = text == nullptr ? 1'000'000 : std::strtoull(text, nullptr, 0);
  std::vector<uint64_t> bad_ns, good_ns;
  Change wanted;
  for (uint64_t sent = 0, bursts = 0; sent < count; ++bursts) {
    for (unsigned i = 0; i < kBurst && sent < count; ++i, ++sent) {
      const Mutant& mutant = mutants[mutator.below(kMutants)];
      ++wanted.of(mutant.reason);
      node.port(0).push(mutant.frame);
    }
    const uint64_t bad = timed_turn();
    if (bursts % kEvery != 0) continue;
    bad_ns.push_back(bad);
    push_honest(spare, kBurst);
    good_ns.push_back(timed_turn());
    ASSERT_TRUE(honest_passed(kBurst)) << "about frame " << sent;
  }
  wanted.received = static_cast<int64_t>(count + honest);
  wanted.transmitted = static_cast<int64_t>(honest);
  EXPECT_EQ(wanted, node.change());
  for (unsigned port : {0u, 2u}) EXPECT_FALSE(node.port(port).discard()) << "an answer";
  EXPECT_TRUE(node.tun_read().empty());
  const double speed = static_cast<double>(median(good_ns)) / static_cast<double>(median(bad_ns));
  std::cout << "figure: " << count << " mutants of " << corpus.size() << " frames: " << wanted << ", 0 of " << honest
            << " honest ones lost, throughput " << speed << " times that of good traffic\n";
  EXPECT_GE(speed, 0.8);
}

}  // namespace
}  // namespace sky::soak
