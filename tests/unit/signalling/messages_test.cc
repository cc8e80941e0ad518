#include "controlplane/signalling/messages.h"

#include <gtest/gtest.h>

#include <functional>

#include "tests/unit/signalling/samples.h"

namespace sky::controlplane {
namespace {

const CircuitId kCircuit = sample_setup().circuit;

std::vector<Signal> samples() {
  return {
      sample_setup(),
      sample_setup(2),
      sample_setup(kMostPathNodes),
      SetupReply{.hop = 2,
                 .circuit = kCircuit,
                 .forward_route = RouteId{77},
                 .mtu = 1400,
                 .copy_window = 20,
                 .blob = Bytes(124, 9)},
      SetupReply{.hop = 1, .circuit = kCircuit, .forward_route = RouteId{1}, .mtu = kLeastMtu, .blob = {}},
      SetupRefused{.reason = CircuitReason::full, .hop = 3, .circuit = kCircuit, .text = "no room"},
      SetupRefused{.reason = CircuitReason::quota, .hop = 1, .circuit = kCircuit, .text = ""},
      Close{.reason = CircuitReason::idle, .towards = Towards::egress, .circuit = kCircuit},
      Trace{.towards = Towards::ingress, .hop = 0, .circuit = kCircuit, .probe = 0x01020304},
      TraceReply{.towards = Towards::egress, .hop = 5, .circuit = kCircuit, .probe = 9, .address = sample_address(4)}};
}

TEST(Messages, EachComesBackAsItWas) {
  for (const Signal& signal : samples()) {
    const Bytes bytes = encode_signal(signal);
    EXPECT_LE(bytes.size(), kMaxSignalBytes);
    const auto back = decode_signal(bytes);
    ASSERT_TRUE(back) << back.error().message;
    EXPECT_TRUE(*back == signal) << "message " << int{bytes[0]};
  }
}

TEST(Messages, TheBytesAreThoseOfTheDocument) {
  const Bytes bytes = encode_signal(sample_setup(2));
  ASSERT_EQ(bytes.size(), 73u + 2 * 24 + 2 + 168);
  EXPECT_EQ(Bytes(bytes.begin(), bytes.begin() + 5), (Bytes{1, 1, 3, 1, 1}));
  EXPECT_EQ(Bytes(bytes.begin() + 20, bytes.begin() + 38),
            (Bytes{0, 0, 0x0e, 0x10, 0x22, 0, 0x05, 0x9d, 0xde, 0xad, 0xbe, 0xef, 0x20, 0, 0, 16, 50, 2}));
  EXPECT_EQ(Bytes(bytes.begin() + 121, bytes.begin() + 123), (Bytes{0, 168}));
  EXPECT_EQ(Bytes(bytes.begin() + 70, bytes.begin() + 73), (Bytes{0x20, 0x20, 17})) << "copied streams";
  EXPECT_EQ(Bytes(bytes.begin() + 38, bytes.begin() + 54), Bytes(16, 0x5e)) << "the proof";
  EXPECT_EQ(Bytes(bytes.begin() + 54, bytes.begin() + 66), (Bytes{1, 2, 3, 4, 5, 6, 7, 8, 0xaa, 0xbb, 0xcc, 0xdd}))
      << "the alternate";
  const Bytes close = encode_signal(samples()[7]);
  EXPECT_EQ(Bytes(close.begin(), close.begin() + 4), (Bytes{4, 12, 0, 0}));
}

TEST(Messages, NoTruncationIsRead) {
  for (const Signal& signal : samples()) {
    const Bytes bytes = encode_signal(signal);
    const bool ends_in_text = std::holds_alternative<SetupRefused>(signal);
    for (size_t size = 0; size < (ends_in_text ? 20 : bytes.size()); ++size) {
      EXPECT_FALSE(decode_signal(std::span(bytes).first(size))) << "message " << int{bytes[0]} << ", " << size;
    }
  }
}

TEST(Messages, NothingMayFollow) {
  for (const Signal& signal : samples()) {
    if (std::holds_alternative<SetupRefused>(signal)) continue;
    Bytes bytes = encode_signal(signal);
    bytes.push_back(0);
    EXPECT_FALSE(decode_signal(bytes)) << "message " << int{bytes[0]};
  }
}

TEST(Messages, EveryFieldOfSetupIsChecked) {
  const std::vector<std::pair<const char*, std::function<void(controlplane::Setup&)>>> wrong{
      {"hop 0", [](controlplane::Setup& s) { s.hop = 0; }},
      {"hop past the end", [](controlplane::Setup& s) { s.hop = 4; }},
      {"no life", [](controlplane::Setup& s) { s.life_s = 0; }},
      {"a life for ever", [](controlplane::Setup& s) { s.life_s = kMostLife_s + 1; }},
      {"the control queue", [](controlplane::Setup& s) { s.treatment = 0x20; }},
      {"a fourth queue", [](controlplane::Setup& s) { s.treatment = 3; }},
      {"a kind that carries no packets", [](controlplane::Setup& s) { s.treatment = 0x0e; }},
      {"a tiny MTU", [](controlplane::Setup& s) { s.mtu = kLeastMtu - 1; }},
      {"a rate in the last queue", [](controlplane::Setup& s) { s.rate_kbit_s = 64; }},
      {"no rate in the realtime queue", [](controlplane::Setup& s) { s.treatment = 0x21; }},
      {"a rate that no meter holds",
       [](controlplane::Setup& s) { s.treatment = 0x21, s.rate_kbit_s = kMostRate_kbit_s + 1; }},
      {"route 0", [](controlplane::Setup& s) { s.return_route = kControlRoute; }},
      {"an alternate without a route", [](controlplane::Setup& s) { s.alternate.route = kControlRoute; }},
      {"an alternate without a link", [](controlplane::Setup& s) { s.alternate.link = {}; }},
      {"a stream between two circuits'", [](controlplane::Setup& s) { s.stream_to_egress = 1; }},
      {"a stream past the last", [](controlplane::Setup& s) { s.stream_to_ingress = kStreams; }},
      {"a copied stream between two circuits'", [](controlplane::Setup& s) { s.copied.stream = 1; }},
      {"a copied stream past the last", [](controlplane::Setup& s) { s.copied.stream = kStreams; }},
      {"a copied stream without a window", [](controlplane::Setup& s) { s.copied.window = 0; }},
      {"a short window", [](controlplane::Setup& s) { s.copied.window = 12; }},
      {"a long window", [](controlplane::Setup& s) { s.copied.window = 21; }},
      {"a small hop limit", [](controlplane::Setup& s) { s.hop_limit = kLeastHopLimit - 1; }},
      {"a large hop limit", [](controlplane::Setup& s) { s.hop_limit = kMostHopLimit + 1; }},
      {"a path of one", [](controlplane::Setup& s) { s.path.resize(1); }},
      {"a path too long", [](controlplane::Setup& s) { s = sample_setup(kMostPathNodes + 1); }},
      {"a link into the ingress", [](controlplane::Setup& s) { s.path[0].link = link_id("x"); }},
      {"no link into a node", [](controlplane::Setup& s) { s.path[2].link = {}; }},
      {"a node twice", [](controlplane::Setup& s) { s.path[3].address = s.path[0].address; }},
      {"a neighbour twice", [](controlplane::Setup& s) { s.path[3].address = s.path[2].address; }},
      {"a long blob", [](controlplane::Setup& s) { s.blob.resize(kMostBlobBytes + 1); }},
  };
  for (const auto& [what, spoil] : wrong) {
    auto setup = sample_setup();
    spoil(setup);
    EXPECT_FALSE(decode_signal(encode_signal(setup))) << what;
  }
  EXPECT_TRUE(decode_signal(encode_signal(sample_setup())));
}

TEST(Messages, ReservedBitsAndUnknownValuesAreRefused) {
  const auto refused_with = [](const Signal& signal, size_t at, uint8_t value) {
    Bytes bytes = encode_signal(signal);
    bytes[at] = value;
    return !decode_signal(bytes);
  };
  const auto all = samples();
  EXPECT_TRUE(refused_with(all[0], 1, 4)) << "an unknown flag";
  EXPECT_TRUE(refused_with(all[3], 1, 1)) << "a flag in a reply";
  EXPECT_TRUE(refused_with(all[3], 3, 12)) << "a short window in a reply";
  EXPECT_TRUE(refused_with(all[3], 2, 0)) << "a reply from the ingress";
  EXPECT_TRUE(refused_with(all[5], 1, 0)) << "no reason";
  EXPECT_TRUE(refused_with(all[5], 1, to_underlying(CircuitReason::count))) << "an unknown reason";
  EXPECT_TRUE(refused_with(all[5], 20, '\n')) << "a line break in a text";
  EXPECT_TRUE(refused_with(all[5], 3, 1)) << "a reserved byte";
  EXPECT_TRUE(refused_with(all[7], 2, 2)) << "a third direction";
  EXPECT_TRUE(refused_with(all[7], 1, 0)) << "no reason";
  EXPECT_TRUE(refused_with(all[8], 1, 2)) << "a third direction";
  EXPECT_TRUE(refused_with(all[8], 2, kMostPathNodes)) << "a hop past any path";
  for (const Signal& signal : all) {
    for (const int type : {0, 7, 255}) EXPECT_TRUE(refused_with(signal, 0, static_cast<uint8_t>(type))) << type;
  }
}

TEST(Messages, ALongTextIsCutWhenItIsWritten) {
  const SetupRefused refused{
      .reason = CircuitReason::full, .hop = 1, .circuit = kCircuit, .text = std::string(500, 'x')};
  const auto back = decode_signal(encode_signal(refused));
  ASSERT_TRUE(back);
  EXPECT_EQ(std::get<SetupRefused>(*back).text.size(), kMostReasonText);
}

/// Whatever is read is well formed: it comes back as the same bytes.
void expect_exact(const Bytes& bytes) {
  const auto signal = decode_signal(bytes);
  if (signal) {
    EXPECT_EQ(encode_signal(*signal), bytes);
  }
}

TEST(Messages, RandomBytesAreReadExactlyOrNotAtAll) {
  SeededRandom random(1);
  for (int i = 0; i < 100'000; ++i) {
    Bytes bytes(random.number<uint16_t>() % 300);
    random.fill(bytes);
    if (!bytes.empty() && i % 2 == 0) bytes[0] = static_cast<uint8_t>(1 + bytes[0] % 6);
    expect_exact(bytes);
  }
}

TEST(Messages, MutatedMessagesAreReadExactlyOrNotAtAll) {
  SeededRandom random(2);
  const auto all = samples();
  unsigned read = 0;
  for (int i = 0; i < 100'000; ++i) {
    Bytes bytes = encode_signal(all[random.number<uint32_t>() % all.size()]);
    for (unsigned changes = 1 + random.number<uint8_t>() % 3; changes != 0; --changes) {
      bytes[random.number<uint32_t>() % bytes.size()] ^= static_cast<uint8_t>(1 << random.number<uint8_t>() % 8);
    }
    read += decode_signal(bytes).has_value();
    expect_exact(bytes);
  }
  EXPECT_GT(read, 1000u);  // of circuit IDs, routes and blobs: the test reaches past the first checks
}

TEST(Messages, LinkIdsAreShortHashesOfNames) {
  EXPECT_NE(link_id("a1-g1"), link_id("a1-g2"));
  EXPECT_EQ(link_id("a1-g1"), link_id("a1-g1"));
  EXPECT_NE(link_id(""), LinkId{});
}

TEST(Messages, EveryReasonHasAName) {
  for (uint8_t i = 0; i < to_underlying(CircuitReason::count); ++i) EXPECT_NE(name_of(CircuitReason{i}), "");
  EXPECT_EQ(name_of(CircuitReason::count), "unknown reason");
}

}  // namespace
}  // namespace sky::controlplane
