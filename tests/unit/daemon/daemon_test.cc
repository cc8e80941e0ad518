// The daemon as a process of its own between a dataplane that is none and the API's clients.
#include "controlplane/daemon.h"

#include <gtest/gtest.h>
#include <poll.h>

#include <thread>

#include "controlplane/cli/client.h"
#include "controlplane/cli/top.h"
#include "tests/support/daemon_process.h"
#include "tests/support/fake_dataplane.h"
#include "tests/support/tcp.h"

namespace sky::controlplane {
namespace {

class DaemonTest : public testing::Test {
 protected:
  explicit DaemonTest(const std::string& more = "") : daemon("daemon", more) { daemon.start(); }

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

  /// Until `done` or 5 s; what the daemon does by itself no descriptor tells of.
  template <typename Done>
  bool wait_for(Done done) {
    for (int i = 0; i < 100; ++i, std::this_thread::sleep_for(std::chrono::milliseconds(50))) {
      if (done()) return true;
    }
    return false;
  }

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
  EXPECT_TRUE(wait_for([&] { return faults().find("no dataplane") != std::string::npos; })) << faults();
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

TEST_F(DaemonTest, TopShowsWhatMovesBetweenTwoReadings) {
  attach();
  auto* ports = reinterpret_cast<PortStats*>(dataplane->counters() + dataplane->layout.ports);
  std::jthread traffic([&](const std::stop_token& stop) {
    for (; !stop.stop_requested(); std::this_thread::sleep_for(std::chrono::milliseconds(1))) ports->received.add(1000);
  });
  testing::internal::CaptureStdout();
  const Reply reply = run_top(api, 200'000'000, true);
  const std::string text = testing::internal::GetCapturedStdout();
  EXPECT_EQ(reply.error, "");
  EXPECT_NE(text.find("\na1-d1  d1    handshaking"), std::string::npos) << text;
  EXPECT_NE(text.find(" k/s"), std::string::npos) << text;
  EXPECT_EQ(text.find('\x1b'), std::string::npos) << text;
  traffic = {};
  EXPECT_EQ(stop(), 0);
  EXPECT_NE(run_top(api, 1, true).error.find("is skyedge-controlplane running?"), std::string::npos);
}

TEST_F(DaemonTest, ServesTheApiWithoutADataplane) {
  EXPECT_TRUE(wait_for([&] { return get("health").status != 0; }));
  EXPECT_NE(faults().find("another control plane may be attached"), std::string::npos) << faults();
  EXPECT_EQ(get("destinations").error, "");
}

/// The same with an address for metrics.
class MetricsDaemonTest : public DaemonTest {
 protected:
  explicit MetricsDaemonTest(const TcpAddress& listen = test::free_tcp_address())
      : DaemonTest(fmt::format("metrics: {{listen: '{}'}}\n", to_string(listen))), endpoint(listen) {}

  /// The whole answer; empty when nobody listens.
  std::string ask(const std::string& method, const std::string& path) {
    const Descriptor client = test::dial(endpoint);
    const std::string text = method + " " + path + " HTTP/1.1\r\nHost: x\r\n\r\n";
    if (!client || send(client.get(), text.data(), text.size(), MSG_NOSIGNAL) < 0) return {};
    std::string answer;
    char part[4096];
    for (ssize_t got = 1; got > 0;) {
      got = comes(client.get(), 1000) ? recv(client.get(), part, sizeof(part), 0) : -1;
      if (got > 0) answer.append(part, static_cast<size_t>(got));
    }
    return answer;
  }

  bool told(const std::string& line) { return ask("GET", "/metrics").find("\n" + line + "\n") != std::string::npos; }

  TcpAddress endpoint;
};

TEST_F(MetricsDaemonTest, ServesThemWithAndWithoutADataplane) {
  EXPECT_TRUE(wait_for([&] { return told("skyedge_dataplane_attached 0"); })) << daemon.log();
  attach();
  StatsLayout& layout = dataplane->layout;
  reinterpret_cast<PortStats*>(dataplane->counters() + layout.ports)->received.set(42);
  EXPECT_TRUE(wait_for([&] { return told("skyedge_port_received_frames_total{port=\"p0\"} 42"); }));
  EXPECT_TRUE(told("skyedge_dataplane_attached 1"));
  EXPECT_TRUE(told("skyedge_links{state=\"handshaking\"} 1"));
  EXPECT_EQ(ask("GET", "/").find("HTTP/1.1 404 "), 0u);
  EXPECT_EQ(ask("GET", "/v1/links").find("HTTP/1.1 404 "), 0u);
  EXPECT_EQ(ask("POST", "/metrics").find("HTTP/1.1 405 "), 0u);
  EXPECT_EQ(get("links").error, "");
  EXPECT_EQ(stop(), 0);
  EXPECT_EQ(ask("GET", "/metrics"), "");
}

/// Somebody else listens there when the daemon starts.
class BusyMetricsTest : public MetricsDaemonTest {
 protected:
  BusyMetricsTest() : BusyMetricsTest(test::free_tcp_address()) {}
  explicit BusyMetricsTest(const TcpAddress& listen) : MetricsDaemonTest(occupied(listen)) {}

  static TcpAddress occupied(const TcpAddress& listen) {
    const sockaddr_in6 address = test::socket_address(listen);
    other = Descriptor(socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0));
    EXPECT_EQ(bind(other.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
    EXPECT_EQ(::listen(other.get(), 1), 0);
    return listen;
  }

  static inline Descriptor other;
};

TEST_F(BusyMetricsTest, TheErrorNamesTheLineAndItIsTriedAgain) {
  const std::string error = "metrics.listen: found " + to_string(endpoint) +
                            ": Address already in use, wanted an address of this machine that nobody else listens at";
  EXPECT_TRUE(wait_for([&] { return daemon.log().find(error) != std::string::npos; })) << daemon.log();
  EXPECT_NE(daemon.log().find("router.yaml:9:19 " + error), std::string::npos) << daemon.log();
  EXPECT_NE(faults().find(error), std::string::npos) << faults();
  other = Descriptor();
  EXPECT_TRUE(wait_for([&] { return told("skyedge_dataplane_attached 0"); })) << daemon.log();
  EXPECT_EQ(faults().find(error), std::string::npos) << faults();
}

}  // namespace
}  // namespace sky::controlplane
