// What a control plane sees of packets that it watches: which, at which stages, as which bytes; and what it costs.
#include "dataplane/verdict.h"
#include "dataplane/watch.h"
#include "tests/packet/crossroads.h"
#include "tests/support/contract.h"

namespace sky::test {
namespace {

using dataplane::Verdict;

constexpr uint32_t kRequest = 77;
constexpr uint32_t kEnd = 0xabc00456;  ///< a rule of the node's that ends a circuit
constexpr uint16_t kStream = 300;

Bytes six() {
  return ipv6({.source = "fd00:f::1", .destination = "fd00:1::1", .payload = 64});
}

class Observe : public Crossroads {
 protected:
  void SetUp() override {
    Crossroads::SetUp();
    node.install({message(forward_put(kRoute, left.link, right.link, kNext)),
                  message(consume_put(kEnd, left.link, far.session, kStream, 4)), message(group_put(7, kDomain)),
                  message(destination_put("fd00:f::", 32, GroupIndex{7})),
                  message(destination_put("fd00:1::", 32, kLocalGroup))});
    contract.emplace(node);
    contract->attach();
    node.change();
  }
  void TearDown() override {
    contract.reset();
    Crossroads::TearDown();
  }

  void watch(WatchMessage ask) {
    ask.request = kRequest;
    ASSERT_TRUE(contract->attachment().watch(ask));
    turns();
  }
  /// As many as a grace and a last record take.
  void turns() {
    for (int i = 0; i < 5; ++i) {
      contract->turn();
      quiet();
    }
  }
  /// Workers are quiescent; nothing comes and none of their timers is due.
  void quiet() { contract->main_turn(); }

  std::vector<SeenPacket> seen() {
    turns();
    return std::exchange(contract->seen, {});
  }
  static Bytes bytes_of(const SeenPacket& record) { return {record.bytes.begin(), record.bytes.begin() + record.kept}; }
  /// The last record, which is taken off.
  static SeenPacket last_of(std::vector<SeenPacket>& records) {
    EXPECT_FALSE(records.empty());
    if (records.empty()) return {};
    const SeenPacket last = records.back();
    records.pop_back();
    EXPECT_EQ(1, last.last);
    EXPECT_EQ(kRequest, last.request);
    return last;
  }

  std::optional<Contract> contract;
};

struct Step {
  Stage stage;
  Verdict verdict;
  Form form;
  unsigned link, port;
};

/// What traced records say, but for their bytes.
void expect_steps(const std::vector<SeenPacket>& records, const std::vector<Step>& steps) {
  ASSERT_EQ(steps.size(), records.size());
  for (size_t i = 0; i < steps.size(); ++i) {
    const SeenPacket& record = records[i];
    EXPECT_EQ(1u, record.packet) << i;
    EXPECT_EQ(kWatchStages, record.points) << i;
    EXPECT_EQ(steps[i].stage, record.stage) << i;
    EXPECT_EQ(to_underlying(steps[i].verdict), record.verdict) << i;
    EXPECT_EQ(steps[i].form, record.form) << i;
    EXPECT_EQ(steps[i].link, to_underlying(record.link)) << i;
    EXPECT_EQ(steps[i].port, to_underlying(record.port)) << i;
    EXPECT_EQ(0, record.worker) << i;
    EXPECT_EQ(0u, record.missed) << i;
  }
}

/// A frame with plain bytes in place of what its link seals.
Bytes opened_frame(const Bytes& frame, const Bytes& inside) {
  Bytes out(frame.begin(), frame.begin() + 14 + 32);
  out.insert(out.end(), inside.begin(), inside.end());
  return out;
}

using enum Verdict;

TEST_F(Observe, AForwardedPacketStageByStage) {
  watch({.points = kWatchStages, .count = 1});
  const Bytes frame = left.seal(packet(17, kRoute, pattern(50)));
  const auto out = node.exchange(0, {frame});
  auto records = seen();
  last_of(records);
  expect_steps(records, {{Stage::receive, next, Form::wire, 1, 0},
                         {Stage::classify, next, Form::wire, 1, 0},
                         {Stage::open, next, Form::opened, 1, 0},
                         {Stage::route, next, Form::opened, 2, 1},
                         {Stage::seal, next, Form::wire, 2, 1},
                         {Stage::transmit, next, Form::wire, 2, 1}});
  EXPECT_EQ(frame, bytes_of(records[0]));
  EXPECT_EQ(opened_frame(frame, packet(17, kRoute, pattern(50))), bytes_of(records[2]));
  EXPECT_EQ(opened_frame(frame, packet(17, kNext, pattern(50))), bytes_of(records[3]));
  ASSERT_EQ(1u, out.size());
  EXPECT_EQ(out[0], bytes_of(records[5]));
  EXPECT_EQ(out[0].size(), records[5].length);
  EXPECT_EQ((Change{.received = 1, .transmitted = 1}), node.change());
}

TEST_F(Observe, ADatagramThatEndsHereOpenedTwice) {
  watch({.points = kWatchOpened, .matches = kMatchType, .type = 17, .count = 2});
  const Bytes datagram = far.seal(kStream, six());
  const Bytes frame = left.seal(packet(17, kEnd, datagram));
  node.exchange(0, {frame});
  auto records = seen();
  last_of(records);
  ASSERT_EQ(2u, records.size());
  EXPECT_EQ(Form::opened, records[0].form);
  EXPECT_EQ(opened_frame(frame, packet(17, kEnd, datagram)), bytes_of(records[0]));
  EXPECT_EQ(Form::opened_inside, records[1].form);
  EXPECT_EQ(to_underlying(delivered), records[1].verdict);
  Bytes plain(datagram.begin(), datagram.begin() + 24);
  const Bytes inner = six();
  plain.insert(plain.end(), inner.begin(), inner.end());
  EXPECT_EQ(opened_frame(frame, packet(17, kEnd, plain)), bytes_of(records[1]));
  EXPECT_EQ(records[0].packet, records[1].packet);
  EXPECT_EQ(1u, node.tun_read().size());
}

TEST_F(Observe, WhatIsDroppedWithItsReason) {
  watch({.points = kWatchDropped,
         .matches = kMatchReason,
         .count = 2,
         .reason = static_cast<uint8_t>(Drop::unknown_route)});
  Bytes forged = left.seal(packet(17, kRoute));
  forged.back() ^= 1;
  const Bytes lost = left.seal(packet(17, 0xdeadbeef, pattern(20)));
  node.exchange(0, {left.seal(packet(17, kRoute)), forged, lost, lost});
  auto records = seen();
  ASSERT_EQ(1u, records.size()) << "the copy is replayed, and the first in line for another reason";
  EXPECT_EQ(Stage::route, records[0].stage);
  EXPECT_EQ(to_underlying(drop), records[0].verdict);
  EXPECT_EQ(static_cast<uint8_t>(Drop::unknown_route), records[0].reason);
  EXPECT_EQ(opened_frame(lost, packet(17, 0xdeadbeef, pattern(20))), bytes_of(records[0]));
}

TEST_F(Observe, WhatThePortsBringAndTakeByLinkAndPort) {
  const auto taken = [&](WatchMessage ask) {
    ask.points = kWatchRx | kWatchTx;
    ask.count = 100;
    watch(ask);
    node.exchange(0, {left.seal(packet(17, kRoute)), Bytes(60, 0xee)});
    node.exchange(1, {right.seal(packet(2, 0))});
    watch({.count = 0});
    auto records = seen();
    last_of(records);
    std::vector<std::pair<Stage, unsigned>> out;
    for (const SeenPacket& record : records) out.emplace_back(record.stage, to_underlying(record.port));
    return out;
  };
  using Taken = std::vector<std::pair<Stage, unsigned>>;
  EXPECT_EQ((Taken{{Stage::receive, 0}, {Stage::receive, 0}, {Stage::transmit, 1}, {Stage::receive, 1}}), taken({}));
  EXPECT_EQ((Taken{{Stage::receive, 0}, {Stage::transmit, 1}}),
            taken({.matches = kMatchLink, .link = LinkIndex{left.link}}))
      << "followed over its second link";
  EXPECT_EQ((Taken{{Stage::transmit, 1}, {Stage::receive, 1}}), taken({.matches = kMatchPort, .port = PortIndex{1}}));
  EXPECT_EQ((Taken{{Stage::transmit, 1}}), taken({.matches = kMatchRoute, .route = RouteId{kNext}}))
      << "told by what stood in it before it was sealed";
}

TEST_F(Observe, ThePacketsOfAnEdge) {
  watch({.points = kWatchStages, .count = 1});
  const Bytes plain = ipv6({.source = "fd00:1::1", .destination = "fd00:9::1"});
  node.tun_write(plain);
  node.pass(100'000);
  node.exchange(0, {});
  auto records = seen();
  last_of(records);
  expect_steps(records, {{Stage::ingress, drop, Form::ip, 0xffff, 0xffff}});
  EXPECT_EQ(static_cast<uint8_t>(Drop::no_destination), records[0].reason);
  EXPECT_EQ(plain, bytes_of(records[0]));
}

TEST_F(Observe, ARingThatIsFullMissesAndHoldsNothingUp) {
  constexpr unsigned kFrames = 500;
  watch({.points = kWatchRx, .count = kFrames});
  for (unsigned sent = 0; sent < kFrames; sent += 50) {
    std::vector<Bytes> frames;
    for (unsigned i = 0; i < 50; ++i) frames.push_back(left.seal(packet(17, kRoute)));
    EXPECT_EQ(50u, node.exchange(0, frames).size());
  }
  EXPECT_EQ((Change{.received = kFrames, .transmitted = kFrames}), node.change());
  auto records = seen();
  const SeenPacket last = last_of(records);
  EXPECT_EQ(kFrames, records.size() + last.missed);
  EXPECT_EQ(dataplane::Watch::kRing, records.size());
  EXPECT_EQ(nullptr, node.channel().watch.load());
}

TEST_F(Observe, AControlPlaneThatReadsNoneStopsNothing) {
  watch({.points = kWatchRx, .count = 100'000});
  for (unsigned sent = 0; sent < 2'000; sent += 50) {
    std::vector<Bytes> frames;
    for (unsigned i = 0; i < 50; ++i) frames.push_back(left.seal(packet(17, kRoute)));
    EXPECT_EQ(50u, node.exchange(0, frames).size());
    contract->main_turn();
  }
  EXPECT_EQ((Change{.received = 2'000, .transmitted = 2'000}), node.change());
  ASSERT_TRUE(contract->install({{message(delete_of(Verb::delete_rule, kRoute))}})) << "batches go their way";
  watch({.count = 0});
  auto records = seen();
  EXPECT_EQ(2'000u, records.size() - 1 + last_of(records).missed);
}

TEST_F(Observe, EndsWithItsControlPlane) {
  watch({.points = kWatchRx, .count = 100});
  EXPECT_NE(nullptr, node.channel().watch.load());
  contract->detach();
  EXPECT_EQ(nullptr, node.channel().watch.load());
  node.exchange(0, {left.seal(packet(17, kRoute))});
  contract->attach();
  EXPECT_TRUE(seen().empty()) << "nor does the next one get what it left";
}

TEST_F(Observe, TheNewestTakesThePlaceOfTheOthers) {
  watch({.points = kWatchRx, .count = 100});
  auto& attachment = contract->attachment();
  for (uint32_t request = 1; request <= 5; ++request)
    ASSERT_TRUE(attachment.watch({.points = kWatchTx, .request = request, .count = 1}));
  node.exchange(0, {left.seal(packet(17, kRoute))});
  turns();
  node.exchange(0, {left.seal(packet(17, kRoute))});
  const auto records = seen();
  ASSERT_EQ(4u, records.size());
  EXPECT_EQ(kRequest, records[0].request);
  EXPECT_EQ(1, records[1].last);
  EXPECT_EQ(Stage::transmit, records[2].stage);
  EXPECT_EQ(5u, records[2].request);
  EXPECT_EQ(1, records[3].last);
}

TEST_F(Observe, RefusesWhatCannotBe) {
  const auto error_of = [&](WatchMessage ask) {
    watch(ask);
    const auto records = seen();
    EXPECT_EQ(1u, records.size());
    EXPECT_EQ(nullptr, node.channel().watch.load());
    return records.empty() ? InstallError::none : records[0].error;
  };
  EXPECT_EQ(InstallError::bad_value, error_of({.points = 0, .count = 1}));
  EXPECT_EQ(InstallError::bad_value, error_of({.points = 32, .count = 1}));
  EXPECT_EQ(InstallError::bad_value, error_of({.points = kWatchStages, .count = kMostNumbered + 1}));
  EXPECT_EQ(InstallError::bad_value, error_of({.points = kWatchStages | kWatchRx, .count = 1}));
  EXPECT_EQ(InstallError::bad_value, error_of({.points = kWatchRx, .matches = 32, .count = 1}));
  EXPECT_EQ(InstallError::bad_value, error_of({.points = kWatchRx, .count = 1, .reason = kDropReasons}));
  EXPECT_EQ(InstallError::bad_index, error_of({.points = 1, .matches = 1, .count = 1, .port = PortIndex{3}}));
  EXPECT_EQ(InstallError::bad_index, error_of({.points = 1, .matches = 2, .count = 1, .link = LinkIndex{64}}));
}

}  // namespace
}  // namespace sky::test
