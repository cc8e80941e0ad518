// A11, the other way round: the control plane's daemon against a dataplane that lies in every shared word, counters
// included.
#include <gtest/gtest.h>
#include <poll.h>

#include <chrono>
#include <iostream>
#include <random>

#include "controlplane/cli/client.h"
#include "tests/soak/scribbler.h"
#include "tests/support/daemon_process.h"
#include "tests/support/fake_dataplane.h"
#include "tests/support/soak.h"

namespace sky::soak {
namespace {

using std::chrono::steady_clock;

constexpr const char* kViews[] = {"health",   "links", "paths",   "circuits", "groups", "sessions",
                                  "counters", "ports", "workers", "stages",   "drops",  "destinations"};

class HostileDataplane {
 public:
  explicit HostileDataplane(const std::string& path) : fake_(path), header_(whole_header()) {}

  void turn() {
    if (!fake_.has_client()) return attach();
    fake_.turn();
    fake_.committed.clear();
    fake_.sent.clear();
    fake_.generations.clear();
    for (int i = 0; i < 8; ++i) act();
    // Now and then an attachment that no scribbled position has ended.
    if (draw(100) == 0) hang_up();
  }
  unsigned attachments() const { return attachments_; }
  uint64_t writes() const { return writes_; }

 private:
  uint32_t draw(uint32_t below) { return static_cast<uint32_t>(random_() % below); }
  std::vector<uint64_t> whole_header() {
    const auto words = words_of(fake_.stats());
    return {words.begin(), words.end()};
  }

  void hang_up() {
    scribbler_.aim({});
    fake_.hang_up();
  }

  void attach() {
    pollfd waiting{fake_.listener(), POLLIN, 0};
    if (poll(&waiting, 1, 10) != 1) return;
    std::ranges::copy(header_, words_of(fake_.stats()).begin());
    if (!fake_.accept()) return fake_.hang_up();
    ++attachments_;
    RingsSegment& rings = fake_.rings();
    PacketsSegment& packets = fake_.packets();
    const std::span counters(reinterpret_cast<uint64_t*>(fake_.counters()), fake_.layout.bytes / sizeof(uint64_t));
    scribbler_.aim({{words_of(rings.install), 6'000},
                    {words_of(rings.ack).first(8 * 64), 6'000},
                    {words_of(rings.event).first(8 * 64), 6'000},
                    {words_of(rings.event), 6'000},
                    {words_of(packets.down), 6'000},
                    {words_of(packets.up), 12'000},
                    {counters, 12'000},
                    {counters.first(header_.size()), 10},
                    {words_of(rings.install_positions), 1},
                    {words_of(rings.ack_positions), 1},
                    {words_of(rings.event_positions), 1},
                    {words_of(packets.down_positions), 1},
                    {words_of(packets.seen), 6'000},
                    {words_of(packets.up_positions), 1},
                    {words_of(packets.seen_positions), 1}});
  }

  void act() {
    switch (draw(16)) {
      case 0:
        return fake_.push_event(InstallMessage::of(
            LinkStateEvent{.up = static_cast<uint8_t>(draw(3)), .link = LinkIndex{static_cast<uint16_t>(draw(3))}}));
      case 1:
        return fake_.push_event(InstallMessage::of(MemberStateEvent{.slot = static_cast<uint8_t>(draw(9)),
                                                                    .live = static_cast<uint8_t>(draw(2)),
                                                                    .group = GroupIndex{draw(10)}}));
      case 2:
        return fake_.push_event(InstallMessage::of(MissEvent{.group = GroupIndex{draw(10)}}));
      case 3:
        return fake_.push_event(InstallMessage::of(ChainConfirmedEvent{.index = draw(3), .key_id = draw(3)}));
      case 4:
        fake_.refuse = InstallError{static_cast<uint8_t>(draw(20))};
        return;
      case 5:
        fake_.refuse = InstallError::none;
        return;
      case 6:
        if (draw(50) == 0) fake_.push_ack(InstallMessage::of(AckMessage{.index = draw(9), .generation = draw(99)}));
        return;
      default:
        push_packet();
    }
  }

  void push_packet() {
    ControlPacket packet;
    packet.kind = SlotKind{static_cast<uint8_t>(1 + draw(3))};
    packet.type = static_cast<uint8_t>(draw(2) ? to_underlying(PacketType::signal) : draw(80));
    packet.link = LinkIndex{static_cast<uint16_t>(draw(3))};
    packet.port = PortIndex{static_cast<uint16_t>(draw(3))};
    packet.length = static_cast<uint16_t>(draw(1'985));
    for (uint8_t& byte : packet.payload) byte = static_cast<uint8_t>(random_());
    packet.payload[0] = static_cast<uint8_t>(draw(8));
    fake_.push_packet(packet);
  }

  sky::test::FakeDataplane fake_;
  std::vector<uint64_t> header_;
  std::mt19937_64 random_{3};
  std::atomic<uint64_t> writes_ = 0;
  unsigned attachments_ = 0;
  Scribbler scribbler_{4, writes_};
};

TEST(HostileMemory, TheControlPlaneStandsAHostileDataplane) {
  sky::test::DaemonProcess daemon("hostile");
  auto dataplane = std::make_unique<HostileDataplane>(daemon.dataplane_socket());
  daemon.start();
  controlplane::ApiClient api{daemon.api_socket()};
  const double seconds = soak_size(4.0, 600.0);
  const auto start = steady_clock::now();
  unsigned asked = 0, answered = 0;
  std::atomic<bool> stop = false;
  std::thread asking([&] {
    for (; !stop; std::this_thread::sleep_for(std::chrono::milliseconds(10))) {
      const auto reply = api.get(std::string("/v1/") + kViews[asked++ % std::size(kViews)]);
      answered += reply.status == 200 && !reply.body.is_null();
    }
  });
  while (steady_clock::now() - start < std::chrono::duration<double>(seconds) && daemon.alive()) dataplane->turn();
  stop = true;
  asking.join();
  const auto writes = static_cast<uint64_t>(static_cast<double>(dataplane->writes()) / seconds);
  EXPECT_TRUE(daemon.alive());
  EXPECT_EQ(daemon.stop(), 0) << daemon.log();
  EXPECT_EQ(daemon.log().find("ERROR: "), std::string::npos) << daemon.log();
  EXPECT_EQ(daemon.log().find("runtime error"), std::string::npos) << daemon.log();
  EXPECT_GE(writes, soak_size(20'000u, 100'000u)) << "writes a second";
  EXPECT_GT(dataplane->attachments(), 5u);
  EXPECT_GT(answered, 10u) << "of " << asked;
  std::cout << "figure: control plane: " << writes << " hostile writes/s, " << dataplane->attachments()
            << " attachments, " << answered << " questions answered\n";
}

}  // namespace
}  // namespace sky::soak
