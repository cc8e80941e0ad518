// A21, mode copy: two whole dataplanes and two wires of different delay between them. A stream of packets at full rate
// goes from one's TUN to the other's over both; the faster wire loses a frame now and then and is cut in the middle.
// Each packet must come out once.
#include <chrono>
#include <deque>
#include <iostream>

#include "tests/packet/crossroads.h"
#include "tests/support/soak.h"

namespace sky::soak {
namespace {

using namespace sky::test;

constexpr uint64_t kPacketsPerUs = 15;  // 10 Gb/s of small packets
constexpr uint64_t kStepNs = 4'000;
constexpr uint64_t kPerStep = kPacketsPerUs * kStepNs / 1'000;
constexpr uint64_t kFastNs = 1'000'000;
constexpr uint16_t kCopyStream = 64;
constexpr unsigned kWays = 2;

/// One end: a node whose port w is the end of way w, and what the other end sees of it.
struct End {
  End() : node({.ports = kWays}) {}

  Node node;
  std::vector<LinkPeer> peers;
  SessionPeer far{5, 55};
};

class CopiedStream : public testing::Test {
 protected:
  void SetUp() override {
    for (uint16_t way = 0; way < kWays; ++way) {
      LinkPeer there(static_cast<uint16_t>(way + 1), static_cast<uint16_t>(way + 1), 20u + way);
      LinkPeer back = there;
      std::swap(back.towards_secret, back.from_secret);
      from_.peers.push_back(there);
      to_.peers.push_back(back);
    }
    std::swap(to_.far.towards_secret, to_.far.from_secret);
    for (End* end : {&from_, &to_}) {
      End& other = end == &from_ ? to_ : from_;
      for (unsigned way = 0; way < kWays; ++way) {
        end->peers[way].mac = other.node.port(way).port().mac();
        auto installs = link_installs(end->peers[way], way);
        auto link = installs[0].as<LinkMessage>();
        link.interval_us = 1'000;
        installs[0] = message(link);
        end->node.install(installs);
      }
      end->node.install(session_installs(end->far, kDomain));
    }
  }

  void install(uint8_t window) {
    GroupMessage group = group_put(7, kDomain, 10'000);
    std::vector<InstallMessage> there{message(destination_put("fd00:f::", 32, GroupIndex{7}))};
    std::vector<InstallMessage> here{message(group_put(7, kDomain)),
                                     message(destination_put("fd00:1::", 32, GroupIndex{7})),
                                     message(destination_put("fd00:f::", 32, kLocalGroup))};
    group.mode = GroupMode::copy;
    group.copy_rate = kPacketsPerUs * 1'000'000;
    there.push_back(message(group));
    for (uint8_t way = 0; way < kWays; ++way) {
      const LinkPeer& link = from_.peers[way];
      there.push_back(message(consume_put(kNext + way, link.link, 5, 0, 1, kRoute + way)));
      MemberMessage member = member_put(7, way, link.link, kRoute + way, kNext + way, 5,
                                        static_cast<uint16_t>(16 * way), way == 0 ? 1 : 0);
      member.copied = copied_word({.stream = kCopyStream, .window = window});
      there.push_back(message(member));
      RuleMessage rule = consume_put(kRoute + way, link.link, 5, static_cast<uint16_t>(16 * way), 1, kNext + way);
      rule.copied = copied_word({.stream = kCopyStream, .window = window});
      here.push_back(message(rule));
    }
    from_.node.install(there);
    to_.node.install(here);
  }

  void carry(End& sender, End& receiver, std::array<std::deque<std::pair<uint64_t, Bytes>>, kWays>& wires) {
    for (unsigned way = 0; way < kWays; ++way) {
      while (auto frame = sender.node.port(way).pop()) {
        const bool lost = way == 0 && (cut_ || ++carried_ % 101 == 0);
        if (!lost) wires[way].emplace_back(now_ns_ + delay_ns_[way], std::move(*frame));
      }
      for (auto& wire = wires[way]; !wire.empty() && wire.front().first <= now_ns_; wire.pop_front())
        receiver.node.port(way).push(wire.front().second);
    }
  }

  void step() {
    now_ns_ += kStepNs;
    const bool main = ++steps_ % 64 == 0;
    for (End* end : {&from_, &to_}) {
      end->node.pass(now_ns_ - end->node.now_ns());
      if (main) end->node.main_turn();
      end->node.worker_turn();
    }
    carry(from_, to_, there_);
    carry(to_, from_, back_);
    for (const Bytes& packet : to_.node.tun_read()) {
      const uint64_t number = get(packet, packet.size() - 8, 8);
      ASSERT_LT(number, seen_.size());
      duplicated_ += seen_[number];
      delivered_ += !seen_[number];
      seen_[number] = true;
    }
  }

  void send(uint64_t number) {
    Bytes packet = ipv6({.source = "fd00:1::1", .destination = "fd00:f::1", .payload = 16});
    for (unsigned i = 0; i < 8; ++i) packet[packet.size() - 1 - i] = static_cast<uint8_t>(number >> 8 * i);
    from_.node.tun_write(packet);
  }

  End from_, to_;
  uint64_t now_ns_ = 1'000'000'000'000;
  uint64_t steps_ = 0, carried_ = 0;
  bool cut_ = false;
  std::array<uint64_t, kWays> delay_ns_{kFastNs, kFastNs};
  std::array<std::deque<std::pair<uint64_t, Bytes>>, kWays> there_, back_;
  std::vector<bool> seen_;
  uint64_t delivered_ = 0, duplicated_ = 0;
};

TEST_F(CopiedStream, IsDeliveredOnceThoughTheFasterWayIsCut) {
  const auto packets = soak_size<uint64_t>(300'000, 10'000'000);
  const auto apart_ns = soak_size<uint64_t>(4'000'000, 20'000'000);
  const auto window = soak_size<uint8_t>(18, 20);  // twice rate and difference, and a millisecond's burst
  delay_ns_[1] = kFastNs + apart_ns;
  seen_.resize(packets);
  const auto start = std::chrono::steady_clock::now();
  for (uint64_t until_ns = now_ns_ + 4 * delay_ns_[1] + 20'000'000; now_ns_ < until_ns;) step();
  install(window);
  step();
  const Change before = from_.node.total();
  for (uint64_t sent = 0; sent < packets;) {
    for (uint64_t i = 0; i < kPerStep && sent < packets; ++i) send(sent++);
    step();
    if (!cut_ && sent >= packets / 2) {
      cut_ = true;
      there_[0].clear();  // what was on the wire too
      back_[0].clear();
    }
  }
  for (uint64_t until_ns = now_ns_ + 2 * delay_ns_[1]; now_ns_ < until_ns;) step();
  const Change sent = from_.node.total() - before;
  const Change got = to_.node.total();
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  std::cout << fmt::format(
      "figure: {} packets, {} ms apart at {} million a second, window {}: {} lost, {} duplicated ({} went twice, {} "
      "copies dropped, {} too late, {:.1f} s)\n",
      packets, apart_ns / 1'000'000, kPacketsPerUs, 1u << window, packets - delivered_, duplicated_, sent.copied,
      got.copy_duplicate, got.copy_late, seconds);
  EXPECT_EQ(packets, delivered_);
  EXPECT_EQ(0u, duplicated_);
  EXPECT_EQ(0, got.copy_late);
  EXPECT_EQ(static_cast<int64_t>(packets), sent.injected_tun);
  EXPECT_EQ(static_cast<int64_t>(packets), sent.copied + sent.copy_alone) << "none over the rate";
  EXPECT_GT(sent.copied, static_cast<int64_t>(packets / 2));
  EXPECT_GT(sent.copy_alone, 0) << "the cut was not found out";
  for (End* end : {&from_, &to_}) {
    for (unsigned way = 0; way < kWays; ++way) end->node.port(way).pop_all();
    end->node.expect_at_rest();
  }
}

}  // namespace
}  // namespace sky::soak
