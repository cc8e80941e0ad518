#include "controlplane/api/server.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <filesystem>

#include "controlplane/install/descriptor.h"
#include "tests/support/tcp.h"

namespace sky::controlplane {
namespace {

const std::string kPath = std::filesystem::temp_directory_path() / ("skyedge-api-" + std::to_string(getpid()));

Descriptor connect_to(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof(address.sun_path) - 1);
  Descriptor client(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (connect(client.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) return {};
  return client;
}

void say(const Descriptor& client, const std::string& text) {
  ASSERT_EQ(send(client.get(), text.data(), text.size(), MSG_NOSIGNAL), static_cast<ssize_t>(text.size()));
}

std::string request(const std::string& method, const std::string& path, const std::string& body = "") {
  return method + " " + path +
         " HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" +
         body;
}

class ServerTest : public testing::Test {
 protected:
  void SetUp() override { serve(HttpServer::listen(kPath, handler())); }

  HttpServer::Handler handler() {
    return [this](const Request& asked, HttpServer::Responder respond) {
      last = asked;
      if (asked.path == "/late") {
        responders.push_back(std::move(respond));
      } else {
        respond({200, "{\"you\": \"" + asked.method + "\"}"});
      }
    };
  }

  void serve(Result<std::unique_ptr<HttpServer>> made) {
    ASSERT_TRUE(made) << made.error().message;
    server = std::move(*made);
  }

  virtual Descriptor dial() { return connect_to(kPath); }

  void turn() {
    for (int i = 0; i < 20; ++i) {
      pollfd waiting{server->epoll_fd(), POLLIN, 0};
      poll(&waiting, 1, 2);
      server->run(now_ns);
    }
  }

  /// What stands at the client after the server turned; the whole answer when the connection was closed.
  std::string hear(const Descriptor& client) {
    turn();
    return arrived(client);
  }

  static std::string arrived(const Descriptor& client) {
    std::string text(64 << 10, 0);
    size_t length = 0;
    for (ssize_t more = 1; more > 0;) {
      more = recv(client.get(), text.data() + length, text.size() - length, MSG_DONTWAIT);
      if (more > 0) length += static_cast<size_t>(more);
    }
    text.resize(length);
    return text;
  }

  std::string answer_to(const std::string& text) {
    const Descriptor client = dial();
    say(client, text);
    return hear(client);
  }

  uint64_t now_ns = 1;
  std::unique_ptr<HttpServer> server;
  Request last;
  std::vector<HttpServer::Responder> responders;
};

TEST_F(ServerTest, Answers) {
  const std::string answer = answer_to(request("GET", "/v1/links"));
  EXPECT_NE(answer.find("200 OK"), std::string::npos) << answer;
  EXPECT_NE(answer.find(R"({"you": "GET"})"), std::string::npos) << answer;
  EXPECT_NE(answer.find("application/json"), std::string::npos) << answer;
  EXPECT_EQ(last.path, "/v1/links");
  EXPECT_TRUE(last.admin);
}

TEST_F(ServerTest, BodiesArriveWholeAndLargeOnesAreRefused) {
  const std::string body(HttpServer::kMostBodyBytes, 'x');
  EXPECT_NE(answer_to(request("POST", "/", body)).find("200 OK"), std::string::npos);
  EXPECT_EQ(last.body, body);
  last = {};
  EXPECT_NE(answer_to(request("POST", "/", body + "y")).find(" 413 "), std::string::npos);
  EXPECT_NE(answer_to(request("POST", "/", std::string(60'000, 'y'))).find(" 413 "), std::string::npos);
  EXPECT_EQ(last.method, "");
}

TEST_F(ServerTest, AnAnswerMayComeLater) {
  const Descriptor client = connect_to(kPath);
  say(client, request("POST", "/late"));
  EXPECT_EQ(hear(client), "");
  EXPECT_NE(answer_to(request("GET", "/")).find("200 OK"), std::string::npos);  // nobody else waits
  ASSERT_EQ(responders.size(), 1u);
  responders[0]({504, "{}"});
  EXPECT_NE(hear(client).find(" 504 "), std::string::npos);
}

TEST_F(ServerTest, AClientThatLeftIsNotAnswered) {
  {
    const Descriptor client = connect_to(kPath);
    say(client, request("POST", "/late"));
    turn();
  }
  ASSERT_EQ(responders.size(), 1u);
  responders[0]({200, "{}"});
  responders[0]({200, "{}"});
  turn();
  EXPECT_NE(answer_to(request("GET", "/")).find("200 OK"), std::string::npos);
}

TEST_F(ServerTest, EndsWhileSomeoneWaits) {
  const Descriptor client = connect_to(kPath);
  say(client, request("POST", "/late"));
  turn();
  server.reset();
  responders[0]({200, "{}"});
  EXPECT_FALSE(std::filesystem::exists(kPath));
}

TEST_F(ServerTest, WhatIsAskedAtTheLastMomentReachesNoHandler) {
  const Descriptor client = connect_to(kPath);
  turn();
  say(client, request("GET", "/v1/links"));
  server.reset();
  EXPECT_EQ(last.path, "") << "what it would ask is gone already";
  EXPECT_NE(arrived(client).find(" 503 "), std::string::npos);
}

TEST_F(ServerTest, NoiseIsRefused) {
  EXPECT_NE(answer_to("\x01\x02\x03 nonsense\r\n\r\n").find(" 400 "), std::string::npos);
  answer_to(std::string(100'000, 'A'));
  EXPECT_NE(answer_to(request("GET", "/")).find("200 OK"), std::string::npos);
}

TEST_F(ServerTest, SlowClientsBlockNobody) {
  std::vector<Descriptor> slow;
  for (int i = 0; i < 200; ++i) {
    slow.push_back(connect_to(kPath));
    say(slow.back(), "GET / HT");
    if (i % 50 == 0) turn();
  }
  EXPECT_NE(answer_to(request("GET", "/")).find("200 OK"), std::string::npos);
}

TEST_F(ServerTest, ASecondServerWaitsAndADeadOnesSocketIsReplaced) {
  EXPECT_FALSE(HttpServer::listen(kPath, [](const Request&, HttpServer::Responder) {}));
  std::filesystem::rename(kPath, kPath + ".kept");  // as if the process died: the file stays, nobody listens
  server.reset();
  std::filesystem::rename(kPath + ".kept", kPath);
  EXPECT_TRUE(HttpServer::listen(kPath, [](const Request&, HttpServer::Responder) {}));
}

TEST_F(ServerTest, TheSocketIsForUserAndGroup) {
  struct stat status {};
  ASSERT_EQ(stat(kPath.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0660u);
}

/// The same over TCP.
class TcpServerTest : public ServerTest {
 protected:
  void SetUp() override { serve(HttpServer::listen(endpoint, handler())); }
  Descriptor dial() override { return test::dial(endpoint); }

  /// Whether the server ended the connection.
  static bool ended(const Descriptor& client) {
    char byte;
    const ssize_t got = recv(client.get(), &byte, 1, MSG_DONTWAIT);
    return got == 0 || (got < 0 && errno == ECONNRESET);
  }

  TcpAddress endpoint = test::free_tcp_address();
};

TEST_F(TcpServerTest, AnswersOnceAndNobodyIsAdmin) {
  const Descriptor client = dial();
  say(client, "GET /metrics?name=x HTTP/1.1\r\nHost: x\r\n\r\n");  // would stay connected
  const std::string answer = hear(client);
  EXPECT_NE(answer.find("200 OK"), std::string::npos) << answer;
  EXPECT_NE(answer.find("Connection: close"), std::string::npos) << answer;
  EXPECT_TRUE(ended(client));
  EXPECT_EQ(last.path, "/metrics");
  EXPECT_FALSE(last.admin);
}

TEST_F(TcpServerTest, NoiseIsRefused) {
  EXPECT_NE(answer_to("\x16\x03\x01 nonsense\r\n\r\n").find(" 400 "), std::string::npos);
  answer_to(std::string(100'000, 'A'));
  EXPECT_NE(answer_to(request("GET", "/")).find("200 OK"), std::string::npos);
}

TEST_F(TcpServerTest, OneAddressHasNoMoreThanItsShare) {
  std::vector<Descriptor> slow;
  for (unsigned i = 0; i < HttpServer::kMostOfOneAddress; ++i) {
    slow.push_back(dial());
    say(slow.back(), "GET / HT");
  }
  turn();
  const Descriptor more = dial();
  turn();
  EXPECT_TRUE(ended(more));
  slow.pop_back();
  turn();
  EXPECT_NE(answer_to(request("GET", "/")).find("200 OK"), std::string::npos);
}

TEST_F(TcpServerTest, WhoSpeaksSlowlyIsNotHeardForEver) {
  const Descriptor client = dial();
  say(client, "GET / HTTP/1.1\r\n");
  turn();
  EXPECT_LE(server->deadline_ns(now_ns), now_ns + HttpServer::kStrangerNs);
  now_ns += HttpServer::kStrangerNs - 1;
  say(client, "A: ");
  turn();
  EXPECT_FALSE(ended(client));
  now_ns += 1;
  turn();
  EXPECT_TRUE(ended(client));
  EXPECT_NE(answer_to(request("GET", "/")).find("200 OK"), std::string::npos);
}

TEST_F(TcpServerTest, ASocketThatCannotBeMadeSaysWhy) {
  rlimit before;
  ASSERT_EQ(0, getrlimit(RLIMIT_NOFILE, &before));
  const rlimit none{.rlim_cur = 0, .rlim_max = before.rlim_max};
  ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &none));
  const auto refused = HttpServer::listen(endpoint, handler());
  ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &before));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().message, to_string(endpoint) + ": Too many open files");
}

TEST_F(TcpServerTest, AnAddressInUseOrElsewhereIsNamed) {
  const auto busy = HttpServer::listen(endpoint, handler());
  ASSERT_FALSE(busy);
  EXPECT_EQ(busy.error().message, to_string(endpoint) + ": Address already in use");
  const auto foreign = HttpServer::listen(parse_tcp_address("[2001:db8::1]:9477").value(), handler());
  ASSERT_FALSE(foreign);
  EXPECT_EQ(foreign.error().message, "[2001:db8::1]:9477: Cannot assign requested address");
  server.reset();
  EXPECT_TRUE(HttpServer::listen(endpoint, handler()));
}

TEST_F(TcpServerTest, BothFamilies) {
  server.reset();
  endpoint.address = parse_address("::").value();
  serve(HttpServer::listen(endpoint, handler()));
  endpoint.address = parse_address("::ffff:127.0.0.1").value();
  EXPECT_NE(answer_to(request("GET", "/")).find("200 OK"), std::string::npos);
  server.reset();
  serve(HttpServer::listen(parse_tcp_address(fmt::format("127.0.0.1:{}", endpoint.port)).value(), handler()));
  EXPECT_NE(answer_to(request("GET", "/")).find("200 OK"), std::string::npos);
}

TEST_F(ServerTest, AnotherUserIsNoAdmin) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root to be someone else";
  std::filesystem::permissions(kPath, std::filesystem::perms::all);
  const pid_t child = fork();
  if (child == 0) {
    if (setuid(65534) != 0) _exit(1);
    const Descriptor client = connect_to(kPath);
    const std::string text = request("GET", "/");
    send(client.get(), text.data(), text.size(), 0);
    char byte;
    _exit(recv(client.get(), &byte, 1, 0) == 1 ? 0 : 1);
  }
  int status = -1;
  for (int i = 0; i < 50 && waitpid(child, &status, WNOHANG) == 0; ++i) turn();
  ASSERT_EQ(status, 0);
  EXPECT_EQ(last.method, "GET");
  EXPECT_FALSE(last.admin);
}

}  // namespace
}  // namespace sky::controlplane
