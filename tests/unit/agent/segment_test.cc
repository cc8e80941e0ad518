// The socket and the sealed memory: who gets attached, and what it can do with what it got.
#include "dataplane/agent/segment.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/stat.h>

#include <fstream>

#include "dataplane/protocol/doorbell.h"
#include "tests/unit/agent/client.h"

namespace sky::dataplane::test {
namespace {

constexpr uint64_t kBootId = 0xb007;
constexpr uint64_t kSecond = 1'000'000'000;
using Change = Endpoint::Change;

class EndpointTest : public testing::Test {
 protected:
  EndpointTest() {
    auto pages = SharedPages::create("test-counters", 8192, true);
    counters.emplace(std::move(*pages));
    auto opened = Endpoint::open(path, kBootId, *counters);
    if (opened) endpoint = std::move(*opened);
  }

  /// Readable: a turn has something to do.
  bool wants_turn() const {
    pollfd poll_for{.fd = endpoint->descriptor(), .events = POLLIN, .revents = 0};
    return poll(&poll_for, 1, 0) == 1;
  }
  Change turn(uint64_t now_ns = 0) {
    // Accept, then greet: at most two turns.
    const Change first = endpoint->turn(now_ns);
    return first != Change::none ? first : endpoint->turn(now_ns);
  }

  ScratchDirectory directory;
  std::string path = directory.path + "/dataplane.sock";
  std::optional<SharedPages> counters;
  std::unique_ptr<Endpoint> endpoint;
};

TEST_F(EndpointTest, HandsOverASealedSegment) {
  ASSERT_NE(endpoint, nullptr);
  EXPECT_FALSE(wants_turn());
  Client client(path);
  EXPECT_TRUE(wants_turn());
  EXPECT_EQ(turn(), Change::attached);
  const auto reply = client.reply();
  ASSERT_TRUE(reply.has_value());
  EXPECT_EQ(reply->status, AttachStatus::ok);
  EXPECT_EQ(reply->magic, kSegmentMagic);
  EXPECT_EQ(reply->boot_id, kBootId);
  EXPECT_EQ(reply->fence, 1u);
  EXPECT_EQ(reply->counters_bytes, 8192u);
  for (const int fd : client.fds) EXPECT_GE(fd, 0);
  EXPECT_NE(ftruncate(client.fds[kRingsFd], 0), 0) << "shrinking would make our next read a SIGBUS";
  EXPECT_NE(ftruncate(client.fds[kPacketsFd], 1 << 30), 0);
  EXPECT_EQ(mmap(nullptr, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, client.fds[kCountersFd], 0), MAP_FAILED);
  EXPECT_NE(write(client.fds[kCountersFd], "x", 1), 1);
  void* read_only = mmap(nullptr, 8192, PROT_READ, MAP_SHARED, client.fds[kCountersFd], 0);
  ASSERT_NE(read_only, MAP_FAILED);
  static_cast<uint8_t*>(counters->data())[5] = 77;
  EXPECT_EQ(static_cast<const uint8_t*>(read_only)[5], 77);
  munmap(read_only, 8192);
}

TEST_F(EndpointTest, MessagesPassAndTheDoorbellWakes) {
  Client client(path);
  ASSERT_EQ(turn(), Change::attached);
  ASSERT_TRUE(client.reply().has_value());
  EXPECT_FALSE(wants_turn());
  client.push(CommitMessage{.count = 42});
  ring_doorbell(client.fds[kDoorbellDownFd]);
  EXPECT_TRUE(wants_turn());
  EXPECT_EQ(endpoint->turn(0), Change::none);
  EXPECT_FALSE(wants_turn()) << "the doorbell is taken";
  InstallMessage taken;
  ASSERT_TRUE(endpoint->owner()->install.pop(taken));
  EXPECT_EQ(taken.as<CommitMessage>().count, 42u);
  EXPECT_EQ(static_cast<int>(client.rings->install[0].verb), 0) << "the slot is wiped";
}

TEST_F(EndpointTest, NoDoorbellHoldsUsWhateverItsOtherEndDoes) {
  Client client(path);
  ASSERT_EQ(turn(), Change::attached);
  ASSERT_TRUE(client.reply().has_value());
  // Flags of a descriptor's end reach us no more than its buffer does: rung until it is full, cleared when it is empty.
  for (const int end : {client.fds[kDoorbellDownFd], client.fds[kDoorbellUpFd]}) ASSERT_EQ(fcntl(end, F_SETFL, 0), 0);
  alarm(5);
  for (unsigned i = 0; i < 100'000; ++i) ring_doorbell(endpoint->owner()->doorbell_up);
  for (unsigned i = 0; i < 3; ++i) EXPECT_EQ(endpoint->turn(0), Change::none);
  for (unsigned i = 0; i < 100'000; ++i) ring_doorbell(client.fds[kDoorbellDownFd]);
  for (unsigned turns = 0; turns < 1'000 && wants_turn(); ++turns) EXPECT_EQ(endpoint->turn(0), Change::none);
  EXPECT_FALSE(wants_turn());
  alarm(0);
}

TEST_F(EndpointTest, AnOwnerWithoutItsDoorbellIsSentAway) {
  Client client(path);
  ASSERT_EQ(turn(), Change::attached);
  ASSERT_TRUE(client.reply().has_value());
  close(std::exchange(client.fds[kDoorbellDownFd], -1));
  EXPECT_EQ(endpoint->turn(0), Change::detached) << "else its end stays readable and nobody sleeps";
}

TEST_F(EndpointTest, TheNextOneWaitsUntilTheOwnerGoes) {
  Client first(path);
  ASSERT_EQ(turn(), Change::attached);
  ASSERT_TRUE(first.reply().has_value());
  Client second(path);
  EXPECT_TRUE(second.connected());
  EXPECT_EQ(turn(), Change::none);
  EXPECT_FALSE(wants_turn()) << "one that waits does not keep the main core awake";
  EXPECT_FALSE(second.reply().has_value());
  first.hang_up();
  EXPECT_TRUE(wants_turn());
  EXPECT_EQ(turn(), Change::detached);
  EXPECT_EQ(turn(), Change::attached);
  const auto reply = second.reply();
  ASSERT_TRUE(reply.has_value());
  EXPECT_EQ(reply->fence, 2u);
}

TEST_F(EndpointTest, AFormerOwnersMappingReachesNothing) {
  Client first(path);
  ASSERT_EQ(turn(), Change::attached);
  ASSERT_TRUE(first.reply().has_value());
  RingsSegment* kept = static_cast<RingsSegment*>(
      mmap(nullptr, sizeof(RingsSegment), PROT_READ | PROT_WRITE, MAP_SHARED, first.fds[kRingsFd], 0));
  ASSERT_NE(kept, MAP_FAILED);
  first.hang_up();
  ASSERT_EQ(turn(), Change::detached);
  Client second(path);
  ASSERT_EQ(turn(), Change::attached);
  ASSERT_TRUE(second.reply().has_value());
  kept->install[0].verb = Verb::begin;
  kept->install_positions.tail.store(1);
  EXPECT_EQ(endpoint->owner()->install.available(), 0u);
  munmap(kept, sizeof(RingsSegment));
}

TEST_F(EndpointTest, SendsAwayOtherAbisAndTheSilent) {
  AttachRequest request;
  request.sizes.rule_bytes = 40;
  Client other_abi(path, request);
  EXPECT_EQ(turn(), Change::none);
  EXPECT_EQ(other_abi.reply()->status, AttachStatus::wrong_abi);
  EXPECT_TRUE(other_abi.sent_away());

  request = {};
  request.magic = 1;
  Client no_control_plane(path, request);
  EXPECT_EQ(turn(), Change::none);
  EXPECT_EQ(no_control_plane.reply()->status, AttachStatus::wrong_magic);

  const int silent = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  ASSERT_EQ(connect(silent, reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
  Client patient(path);
  EXPECT_EQ(turn(10 * kSecond), Change::none);
  EXPECT_EQ(turn(10 * kSecond + kSecond / 2), Change::none);
  EXPECT_EQ(endpoint->owner(), nullptr) << "the silent one is still given time";
  EXPECT_EQ(turn(11 * kSecond + 1), Change::attached) << "then the next one";
  EXPECT_EQ(patient.reply()->status, AttachStatus::ok);
  close(silent);
}

TEST_F(EndpointTest, AnOwnerThatTalksOnItsSocketIsSentAway) {
  Client client(path);
  ASSERT_EQ(turn(), Change::attached);
  ASSERT_TRUE(client.reply().has_value());
  client.ask_again();
  EXPECT_EQ(endpoint->turn(0), Change::detached);
  EXPECT_TRUE(client.sent_away());
}

TEST_F(EndpointTest, LeavesAnotherDataplanesSocketAloneAndReplacesADeadOne) {
  const auto second = Endpoint::open(path, 1, *counters);
  ASSERT_FALSE(second.has_value());
  EXPECT_NE(second.error().message.find("another dataplane"), std::string::npos) << second.error().message;

  endpoint.reset();
  EXPECT_NE(access(path.c_str(), F_OK), 0) << "left behind";
  const int dead = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  ASSERT_EQ(bind(dead, reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
  close(dead);
  auto third = Endpoint::open(path, 1, *counters);
  ASSERT_TRUE(third.has_value()) << third.error().message;
  endpoint = std::move(*third);
}

TEST_F(EndpointTest, NeverRemovesWhatIsNoSocket) {
  const std::string file = directory.path + "/precious";
  std::ofstream(file) << "content";
  EXPECT_FALSE(Endpoint::open(file, 1, *counters).has_value());
  EXPECT_EQ(access(file.c_str(), F_OK), 0);
  unlink(file.c_str());
}

TEST_F(EndpointTest, MakesItsDirectoryForTheOwnerAlone) {
  const std::string made = directory.path + "/run";
  {
    auto other = Endpoint::open(made + "/dataplane.sock", 1, *counters);
    ASSERT_TRUE(other.has_value()) << other.error().message;
    struct stat found {};
    ASSERT_EQ(stat(made.c_str(), &found), 0);
    EXPECT_EQ(found.st_mode & 0777, 0700u);
  }
  rmdir(made.c_str());
}

}  // namespace
}  // namespace sky::dataplane::test
