// A neighbour that is authentic and means ill: whatever it sends, nothing is installed that it has no right to.
#include <cstring>

#include "controlplane/signalling/messages.h"
#include "tests/sim/four_domains.h"

namespace sky::sim {
namespace {

using controlplane::PacketIn;

/// What a transit at g1 may install for a message from a1, judged from the bytes by the document alone.
struct Oracle {
  Ipv6Address a1, g1, d1;
  controlplane::LinkId in, out;
  static constexpr size_t kHead = 73;  ///< bytes before the path

  static uint32_t number(const Bytes& bytes, size_t at, size_t size) {
    uint32_t value = 0;
    for (size_t i = 0; i < size; ++i) value = value << 8 | bytes.at(at + i);
    return value;
  }
  bool may_pass(const Bytes& bytes) const {
    if (bytes.size() < kHead + 2 || bytes[0] != 1 || bytes[1] > 3) return false;
    const size_t nodes = bytes[37], hop = bytes[3];
    if (nodes < 3 || nodes > 32 || hop < 1 || hop + 1 >= nodes || bytes.size() < kHead + 2 + 24 * nodes) return false;
    if (bytes.size() != kHead + 2 + 24 * nodes + number(bytes, kHead + 24 * nodes, 2)) return false;
    const auto is_zero = [&](size_t at, size_t size) {
      return std::all_of(&bytes[at], &bytes[at] + size, [](uint8_t byte) { return byte == 0; });
    };
    const uint32_t rate = number(bytes, 66, 4);
    if (bytes[24] % 4 == 1 ? rate < 64 || rate > 1'000'000'000 : rate != 0) return false;
    if (is_zero(54, 8) != is_zero(62, 4)) return false;  // an alternate's link and route
    const uint32_t copied = number(bytes, 70, 2), window = bytes[72];
    if (window == 0 ? copied != 0 : window < 13 || window > 20 || copied % 16 != 0 || copied >= 16384) return false;
    std::set<Bytes> seen;
    for (size_t i = 0; i < nodes; ++i) {
      const auto at = bytes.begin() + static_cast<ptrdiff_t>(kHead + 24 * i);
      if (!seen.insert(Bytes(at, at + 16)).second) return false;
      const bool no_link = std::all_of(at + 16, at + 24, [](uint8_t byte) { return byte == 0; });
      if (no_link != (i == 0)) return false;
    }
    const auto is = [&](size_t node, const Ipv6Address& address) {
      return std::equal(address.begin(), address.end(), bytes.begin() + static_cast<ptrdiff_t>(kHead + 24 * node));
    };
    const auto by = [&](size_t node, const controlplane::LinkId& link) {
      return std::equal(link.begin(), link.end(), bytes.begin() + static_cast<ptrdiff_t>(kHead + 16 + 24 * node));
    };
    if (!is(hop - 1, a1) || !is(hop, g1) || !by(hop, in) || !is(hop + 1, d1) || !by(hop + 1, out)) return false;
    const uint32_t life = number(bytes, 20, 4), mtu = number(bytes, 26, 2);
    return life >= 1 && life <= 604800 && bytes[24] % 32 >= 1 && bytes[24] % 32 < 3 && bytes[25] <= 2 && mtu >= 576 &&
           number(bytes, 28, 4) != 0 && number(bytes, 32, 2) % 16 == 0 && number(bytes, 32, 2) < 16384 &&
           number(bytes, 34, 2) % 16 == 0 && number(bytes, 34, 2) < 16384 && bytes[36] >= 40 && bytes[36] <= 64 &&
           number(bytes, kHead + 24 * nodes, 2) <= 400;
  }
};

class Hostile : public FourDomains {
 protected:
  void say(const std::string& to, LinkIndex from, const Bytes& bytes) {
    ControlPacket packet{.kind = SlotKind::link_packet,
                         .type = to_underlying(PacketType::signal),
                         .length = static_cast<uint16_t>(bytes.size()),
                         .link = from};
    std::ranges::copy(bytes, packet.payload.begin());
    sim().inject(to, PacketIn{packet});
  }
  controlplane::Setup setup(const Names& nodes, const Names& links, uint8_t hop) {
    controlplane::Setup setup{.hop = hop,
                              .circuit = {9, 9, 9},
                              .life_s = 3600,
                              .treatment = 2,
                              .mtu = 1437,
                              .return_route = RouteId{0x5555},
                              .stream_to_egress = lower("a1", "d1") ? uint16_t{0} : uint16_t{8192},
                              .stream_to_ingress = lower("a1", "d1") ? uint16_t{0} : uint16_t{8192},
                              .hop_limit = 50,
                              .path = {},
                              .blob = {}};
    for (size_t i = 0; i < nodes.size(); ++i) {
      setup.path.push_back({.address = sim().address(nodes[i]),
                            .link = i == 0 ? controlplane::LinkId{} : controlplane::link_id(links[i - 1])});
    }
    return setup;
  }
  static CircuitId id_of(const std::string& text) {
    CircuitId id{};
    for (size_t i = 0; i < id.size(); ++i) {
      id[i] = static_cast<uint8_t>(std::stoi(text.substr(2 * i, 2), nullptr, 16));
    }
    return id;
  }
  bool lower(const std::string& one, const std::string& other) { return sim().address(one) < sim().address(other); }
  size_t standing(const std::string& node) { return sim().snapshot(node).circuits.size(); }
};

TEST_F(Hostile, MutatedSetupsInstallNothingThatIsNotTheirs) {
  come_up(1, [](const std::string&, RouterConfig& config) { config.dataplane.sizes.rules = 1 << 18; });
  const Oracle oracle{.a1 = sim().address("a1"),
                      .g1 = sim().address("g1"),
                      .d1 = sim().address("d1"),
                      .in = controlplane::link_id("a1-g1"),
                      .out = controlplane::link_id("g1-d1")};
  const Bytes good = encode_signal(setup({"a1", "g1", "d1"}, {"a1-g1", "g1-d1"}, 1));
  ASSERT_TRUE(oracle.may_pass(good));
  controlplane::SeededRandom random(3);
  std::set<Bytes> passed;  // circuit IDs
  constexpr int kMessages = 100'000;
  for (int i = 0; i < kMessages; ++i) {
    Bytes bytes = good;
    random.fill(std::span(bytes).subspan(4, 16));
    const unsigned changes = random.number<uint8_t>() % 4;
    for (unsigned change = 0; change < changes; ++change) {
      const size_t at = random.number<uint32_t>() % bytes.size();
      bytes[at] = random.number<uint8_t>() % 2 == 0
                      ? random.number<uint8_t>()
                      : bytes[at] ^ static_cast<uint8_t>(1 << random.number<uint8_t>() % 8);
    }
    if (random.number<uint8_t>() % 16 == 0) bytes.resize(random.number<uint32_t>() % bytes.size());
    if (random.number<uint8_t>() % 16 == 0) bytes.resize(bytes.size() + 1 + random.number<uint8_t>() % 40);
    const unsigned before = sim().said("g1").setups();
    say("g1", LinkIndex{0}, bytes);
    if (sim().said("g1").setups() != before) {  // passed on
      ASSERT_TRUE(oracle.may_pass(bytes)) << "message " << i;
      passed.insert(Bytes(bytes.begin() + 4, bytes.begin() + 20));
    }
    // Now and then time passes: what nobody answers is let go of, and rations fill up.
    if (i % 500 == 499) {
      ASSERT_LE(standing("g1"), (1u << 18) / 2);
      sim().run(2 * kS);
    }
  }
  EXPECT_GT(passed.size(), 10'000u);  // the good ones among them
  sim().run(20 * kS);
  expect_nothing_refused();
  // All of it was refused at the far end, where no session stood behind it.
  for (const std::string& node : sim().nodes()) {
    EXPECT_EQ(standing(node), 0u) << node;
    EXPECT_TRUE(sim().dataplane(node).rules().empty()) << node;
  }
  EXPECT_TRUE(sim().links_up());
  sim().send("a1", "d1");
  EXPECT_TRUE(sim().run_until([&] { return have_circuits(); }, 5 * kS));
}

TEST_F(Hostile, RandomSignalsChangeNothing) {
  come_up_with_circuits();
  const Names before = circuits("g1");
  controlplane::SeededRandom random(4);
  for (int i = 0; i < 100'000; ++i) {
    Bytes bytes(random.number<uint8_t>());
    random.fill(bytes);
    if (!bytes.empty()) bytes[0] = static_cast<uint8_t>(random.number<uint8_t>() % 8);
    say("g1", LinkIndex{static_cast<uint16_t>(random.number<uint8_t>() % 3)}, bytes);
    if (i % 1000 == 999) sim().run(1 * kS);
  }
  EXPECT_EQ(circuits("g1"), before);
  EXPECT_TRUE(have_circuits());
}

TEST_F(Hostile, ANeighbourCannotSpeakForAnother) {
  come_up_with_circuits();
  const auto circuit = sim().snapshot("g1").circuits.at(0);
  const CircuitId id = id_of(circuit.circuit);
  const LinkIndex from_a1{0}, from_d1{1};
  ASSERT_EQ(circuit.upstream_link, "a1-g1");
  // a1 may end it towards the egress alone, d1 towards the ingress alone.
  say("g1", from_a1,
      encode_signal(controlplane::Close{
          .reason = controlplane::CircuitReason::idle, .towards = controlplane::Towards::ingress, .circuit = id}));
  say("g1", from_d1,
      encode_signal(controlplane::Close{
          .reason = controlplane::CircuitReason::idle, .towards = controlplane::Towards::egress, .circuit = id}));
  // The one that asked cannot answer, nor can one that was not asked.
  for (const LinkIndex from : {from_a1, from_d1}) {
    say("g1", from,
        encode_signal(controlplane::SetupReply{
            .hop = 2, .circuit = id, .forward_route = RouteId{0x666}, .mtu = 1400, .blob = {}}));
    say("g1", from,
        encode_signal(controlplane::SetupRefused{
            .reason = controlplane::CircuitReason::full, .hop = 2, .circuit = id, .text = ""}));
  }
  // The same circuit from the other side, or by another path.
  auto stolen = setup({"d1", "g1", "a1"}, {"g1-d1", "a1-g1"}, 1);
  stolen.circuit = id;
  say("g1", from_d1, encode_signal(stolen));
  stolen = setup({"b1", "a1", "g1", "d1"}, {"a1-b1", "a1-g1", "g1-d1"}, 2);
  stolen.circuit = id;
  say("g1", from_a1, encode_signal(stolen));
  const auto rules = sim().dataplane("g1").rules();
  sim().run(100 * kMs);
  EXPECT_EQ(sim().snapshot("g1").circuits.at(0).circuit, circuit.circuit);
  for (const auto& [slot, rule] : sim().dataplane("g1").rules()) {
    EXPECT_EQ(memcmp(&rule, &rules.at(slot), sizeof rule), 0);
  }
  const auto [sent, arrived] = traffic("a1", "d1", 100 * kMs);
  EXPECT_EQ(arrived, sent);
}

TEST_F(Hostile, ANeighbourCannotAnswerForAnother) {
  come_up();
  sim().send("a1", "d1");
  sim().run(1 * kMs);  // the miss was told, no answer can be back
  ASSERT_EQ(standing("a1"), 2u);
  for (const auto& circuit : sim().snapshot("a1").circuits) {
    ASSERT_EQ(circuit.state, "setup");
    const LinkIndex other{circuit.downstream_link == "a1-g1" ? uint16_t{1} : uint16_t{0}};
    const CircuitId id = id_of(circuit.circuit);
    say("a1", other,
        encode_signal(controlplane::SetupReply{
            .hop = 1, .circuit = id, .forward_route = RouteId{0x666}, .mtu = 1400, .blob = {}}));
    say("a1", other,
        encode_signal(controlplane::SetupRefused{
            .reason = controlplane::CircuitReason::full, .hop = 1, .circuit = id, .text = ""}));
  }
  EXPECT_EQ(standing("a1"), 2u);
  ASSERT_TRUE(sim().run_until([&] { return have_circuits(); }, 3 * kS));
  for (const auto& [key, member] : sim().dataplane("a1").members()) EXPECT_NE(member.route, RouteId{0x666});
}

TEST_F(Hostile, AClosedSessionsIndexIsAnothersOnlyWhenItsKeysAreGone) {
  come_up_with_circuits();
  const SessionIndex old = sim().snapshot("a1").sessions.at(0).index;
  for (const auto& circuit : sim().snapshot("a1").circuits) {
    say("a1", LinkIndex{circuit.downstream_link == "a1-g1" ? uint16_t{0} : uint16_t{1}},
        encode_signal(controlplane::Close{.reason = controlplane::CircuitReason::shutdown,
                                          .towards = controlplane::Towards::ingress,
                                          .circuit = id_of(circuit.circuit)}));
  }
  ASSERT_TRUE(sim().snapshot("a1").sessions.empty());
  const auto group = sim().dataplane("a1").group_of(sim().address("g1"));
  sim().inject("a1", controlplane::DataplaneEvent{InstallMessage::of(MissEvent{.group = *group})});
  ASSERT_EQ(sim().snapshot("a1").sessions.size(), 1u);
  EXPECT_NE(sim().snapshot("a1").sessions[0].index, old);
  ASSERT_TRUE(sim().run_until([&] { return have_circuits(2, "a1", "g1"); }, 3 * kS));
  // The group asks for its circuits again, and by then the keys are gone.
  ASSERT_TRUE(sim().run_until([&] { return have_circuits(2, "a1", "d1"); }, 3 * kS));
  const auto sessions = sim().snapshot("a1").sessions;
  const auto with_d1 = std::ranges::find(sessions, "d1", &controlplane::SessionSnapshot::peer);
  ASSERT_NE(with_d1, sessions.end());
  EXPECT_EQ(with_d1->index, old) << "later it is";
  expect_nothing_refused();
}

TEST_F(Hostile, WithoutItsKeysNobodyIsAnIngress) {
  come_up_with_circuits();
  // g1 claims circuits for a1, which has a session with d1, and for b1, which has none.
  const size_t before = standing("d1");
  auto claimed = setup({"b1", "a1", "g1", "d1"}, {"a1-b1", "a1-g1", "g1-d1"}, 3);
  claimed.stream_to_egress = claimed.stream_to_ingress = lower("b1", "d1") ? 0 : 8192;
  say("d1", LinkIndex{0}, encode_signal(claimed));
  claimed.circuit[0]++;
  claimed.blob = Bytes(168, 1);
  say("d1", LinkIndex{0}, encode_signal(claimed));
  // Not even in the name of a1, which has a session and knows of nothing: it does not vouch for it.
  for (const bool known : {false, true}) {
    claimed = setup({"a1", "g1", "d1"}, {"a1-g1", "g1-d1"}, 2);
    claimed.circuit[0] += 3;
    claimed.stream_to_egress = claimed.stream_to_ingress += 160;
    const auto rows = sim().snapshot("d1").circuits;
    const auto& row = *std::ranges::find(rows, "g1-d1", &controlplane::CircuitSnapshot::upstream_link);
    if (known) claimed.circuit = id_of(row.circuit);  // one that there is, made a standby
    if (known) claimed.stream_to_egress = row.receive_stream;
    if (known) claimed.stream_to_ingress = row.send_stream;
    claimed.standby = known;
    const unsigned answers = sim().said("d1").signals[3];
    say("d1", LinkIndex{0}, encode_signal(claimed));
    EXPECT_EQ(sim().said("d1").signals[3], answers + 1) << "setup_refused";
  }
  // Streams of the other half are not its ingress's to give.
  claimed = setup({"a1", "g1", "d1"}, {"a1-g1", "g1-d1"}, 2);
  claimed.circuit[0] += 2;
  claimed.stream_to_egress ^= 8192;
  say("d1", LinkIndex{0}, encode_signal(claimed));
  sim().run(100 * kMs);
  EXPECT_EQ(standing("d1"), before);
  EXPECT_EQ(sim().snapshot("d1").sessions.size(), 1u);
}

TEST_F(Hostile, AFloodOfSetupsLeavesRoomForOthers) {
  come_up(1, [](const std::string& node, RouterConfig& config) {
    if (node == "g1") config.dataplane.sizes.rules = 256;
  });
  auto flood = setup({"a1", "g1", "d1"}, {"a1-g1", "g1-d1"}, 1);
  sim().cut("g1-d1");  // nobody answers these
  for (int i = 0; i < 10'000; ++i) {
    flood.circuit = {};
    memcpy(flood.circuit.data(), &i, sizeof i);
    say("g1", LinkIndex{0}, encode_signal(flood));
  }
  EXPECT_EQ(standing("g1"), 64u);  // a quarter of the rules: its quota
  sim().mend("g1-d1");
  sim().run(20 * kS);
  EXPECT_EQ(standing("g1"), 0u);
  sim().send("d1", "a1");
  EXPECT_TRUE(sim().run_until([&] { return have_circuits(2, "d1", "a1"); }, 5 * kS));
}

TEST_F(Hostile, RingMessagesOfAnyKindDoNoHarm) {
  come_up_with_circuits();
  controlplane::SeededRandom random(5);
  for (int i = 0; i < 100'000; ++i) {
    InstallMessage message;
    random.fill(std::span(reinterpret_cast<uint8_t*>(&message), sizeof message));
    const Verb verbs[] = {Verb::miss, Verb::member_state, Verb::chain_confirmed, Verb::ack, message.verb};
    message.verb = verbs[random.number<uint8_t>() % 5];
    sim().inject("a1", controlplane::DataplaneEvent{message});
    ControlPacket packet;
    random.fill(std::span(reinterpret_cast<uint8_t*>(&packet), 256));
    packet.kind = SlotKind{static_cast<uint8_t>(1 + random.number<uint8_t>() % 4)};
    packet.length = random.number<uint16_t>();
    if (i % 3 == 0) packet.link = LinkIndex{0};
    if (i % 5 == 0) packet.type = to_underlying(PacketType::handshake);
    sim().inject("a1", PacketIn{packet});
    sim().inject("a1", controlplane::Acked{random.number<uint8_t>(), InstallError{random.number<uint8_t>()}, 0});
    sim().inject("a1", controlplane::TrafficSeen{GroupIndex{random.number<uint8_t>()}, random.number<uint8_t>()});
  }
  sim().run(10 * kS);
  EXPECT_TRUE(have_circuits());
}

}  // namespace
}  // namespace sky::sim
