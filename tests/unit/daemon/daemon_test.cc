// The daemon as a process of its own between a dataplane that is none and the API's clients.
#include "controlplane/daemon.h"

#include <gtest/gtest.h>
#include <poll.h>

#include <thread>

#include "controlplane/cli/client.h"
#include "tests/support/daemon_process.h"
#include "tests/support/fake_dataplane.h"

namespace sky::controlplane {
namespace {

class DaemonTest : public testing::Test {
 protected:
  DaemonTest() { daemon.start(); }

  int stop() { return daemon.stop(); }

  bool comes(int fd, int wait_ms) {
    pollfd waiting{fd, POLLIN, 0};
    return poll(&waiting, 1, wait_ms) == 1;
  }

  void accept() {
    ASSERT_TRUE(comes(dataplane->listener(), 5000)) << "the daemon does not connect";
    ASSERT_TRUE(dataplane->accept());
  }

  /// Plays the dataplane until `done` or 5 s.
  template <typename Done>
  void play_until(const char* what, Done done) {
    for (int i = 0; i < 500; ++i) {
      dataplane->turn();
      if (done()) return;
      comes(dataplane->doorbell(), 10);
    }
    FAIL() << "5 s without " << what;
  }

  void attach() {
    const size_t batches = dataplane->generations.size();
    accept();
    play_until("a batch", [&] { return dataplane->generations.size() > batches; });
  }

  Reply get(const std::string& what) { return api.get("/v1/" + what); }

  std::string faults() { return get("health").body.value("faults", Json::array()).dump(); }

  test::DaemonProcess daemon;
  std::unique_ptr<test::FakeDataplane> dataplane = std::make_unique<test::FakeDataplane>(daemon.dataplane_socket());
  ApiClient api{daemon.api_socket()};
};

TEST_F(DaemonTest, InstallsWhatIsWantedAndTellsOfIt) {
  attach();
  const auto is_destination = [](const InstallMessage& message) { return message.verb == Verb::put_destination; };
  EXPECT_TRUE(std::ranges::any_of(dataplane->committed, is_destination));

  dataplane->stats().heartbeat_ns.set(EventLoop::now_ns());
  const Reply links = get("links");
  ASSERT_EQ(links.error, "");
  EXPECT_EQ(links.body.at(0).at("link"), "a1-d1");
  EXPECT_EQ(links.body.at(0).at("peer"), "d1");
  EXPECT_TRUE(links.body.at(0).contains("rtt_us"));
  EXPECT_EQ(get("paths").body.at(0).at("nodes"), Json::array({"a1", "d1"}));
  EXPECT_NE(faults().find("link a1-d1 to d1 is without keys"), std::string::npos) << faults();
  EXPECT_NE(faults().find("no interface skytest0"), std::string::npos) << faults();
  EXPECT_EQ(get("nothing").status, 404);
  EXPECT_EQ(stop(), 0);
}

TEST_F(DaemonTest, SendsHandshakesOnceAttached) {
  attach();
  play_until("a handshake", [&] { return !dataplane->sent.empty(); });
  EXPECT_EQ(dataplane->sent[0].kind, SlotKind::handshake);
}

TEST_F(DaemonTest, ComesBackToADataplaneThatWentAway) {
  attach();
  dataplane->hang_up();
  // That its socket was closed the daemon sees in a turn of its own.
  for (int i = 0; i < 100 && faults().find("no dataplane") == std::string::npos; ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  EXPECT_NE(faults().find("no dataplane"), std::string::npos) << faults();
  EXPECT_EQ(get("counters").body.contains("received"), false);
  attach();
  EXPECT_EQ(dataplane->reply.fence, 2u);
  EXPECT_TRUE(get("counters").body.contains("received"));
}

TEST_F(DaemonTest, LeavesADataplaneThatLies) {
  attach();
  dataplane->rings().event_positions.tail = 1ull << 50;
  dataplane->ring();
  attach();
  dataplane->push_ack(InstallMessage::of(RuleMessage{}));
  attach();
  ControlPacket packet;
  packet.length = 65535;
  dataplane->push_packet(packet);
  attach();
  EXPECT_EQ(dataplane->reply.fence, 4u);
  EXPECT_EQ(get("links").error, "");
}

TEST_F(DaemonTest, RefusedBatchesDoNotEndIt) {
  dataplane->refuse = InstallError::bad_value;
  attach();
  dataplane->refuse = InstallError::none;
  EXPECT_EQ(get("health").error, "");
  EXPECT_EQ(stop(), 0);
}

TEST_F(DaemonTest, AnswersQuestionsThatHaveNoGoodAnswer) {
  attach();
  EXPECT_EQ(api.post("/v1/ping", Json::object({{"node", "z9"}})).status, 404);
  EXPECT_EQ(api.post("/v1/ping", Json::object({{"node", "d1"}})).status, 504);
}

TEST_F(DaemonTest, ServesTheApiWithoutADataplane) {
  for (int i = 0; i < 100 && get("health").status == 0; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(50));
  EXPECT_NE(faults().find("another control plane may be attached"), std::string::npos) << faults();
  EXPECT_EQ(get("destinations").error, "");
}

}  // namespace
}  // namespace sky::controlplane
