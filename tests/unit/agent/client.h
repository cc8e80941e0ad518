// The other end of the contract for tests: attaches by hand, and writes into the segment what it likes.
#pragma once

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <optional>
#include <string>

#include "dataplane/protocol/segment.h"

namespace sky::dataplane::test {

class Client {
 public:
  explicit Client(const std::string& path, AttachRequest request = {}) {
    socket_ = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.data(), path.size());
    connected_ = connect(socket_, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0;
    if (connected_) ask(request);
  }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;
  ~Client() { hang_up(); }

  /// What an owner never does.
  void ask_again() { ask({}); }
  bool connected() const { return connected_; }

  /// The dataplane's answer, if it came; on `ok` the rings are there to use.
  std::optional<AttachReply> reply() {
    AttachReply answer;
    iovec part{.iov_base = &answer, .iov_len = sizeof(answer)};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(kAttachFds * sizeof(int))> control{};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    if (recvmsg(socket_, &message, MSG_CMSG_CLOEXEC) != sizeof(answer)) return std::nullopt;
    if (const cmsghdr* header = CMSG_FIRSTHDR(&message)) {
      std::memcpy(fds.data(), CMSG_DATA(header), sizeof(fds));
      map();
    }
    return answer;
  }

  /// The dataplane closed the connection.
  bool sent_away() {
    char byte;
    return recv(socket_, &byte, 1, MSG_DONTWAIT) == 0;
  }

  void hang_up() {
    if (rings != nullptr) munmap(rings, sizeof(RingsSegment));
    if (packets != nullptr) munmap(packets, sizeof(PacketsSegment));
    rings = nullptr;
    packets = nullptr;
    for (int& fd : fds) {
      if (fd >= 0) close(fd);
      fd = -1;
    }
    if (socket_ >= 0) close(socket_);
    socket_ = -1;
  }

  template <typename Message>
  void push(const Message& message) {
    ASSERT_TRUE(install.push(InstallMessage::of(message)));
  }

  std::array<int, kAttachFds> fds{-1, -1, -1, -1, -1};
  RingsSegment* rings = nullptr;
  PacketsSegment* packets = nullptr;
  ShmProducer<InstallMessage> install;
  ShmConsumer<InstallMessage> acks;
  ShmConsumer<InstallMessage> events;
  ShmProducer<ControlPacket> down;
  ShmConsumer<ControlPacket> up;
  ShmConsumer<SeenPacket> seen;

 private:
  void ask(const AttachRequest& request) { send(socket_, &request, sizeof(request), MSG_NOSIGNAL); }
  void map() {
    constexpr int kAccess = PROT_READ | PROT_WRITE;
    rings = static_cast<RingsSegment*>(mmap(nullptr, sizeof(RingsSegment), kAccess, MAP_SHARED, fds[kRingsFd], 0));
    packets =
        static_cast<PacketsSegment*>(mmap(nullptr, sizeof(PacketsSegment), kAccess, MAP_SHARED, fds[kPacketsFd], 0));
    install = {&rings->install_positions, rings->install.data(), kInstallSlots};
    acks = {&rings->ack_positions, rings->ack.data(), kAckSlots};
    events = {&rings->event_positions, rings->event.data(), kEventSlots};
    down = {&packets->down_positions, packets->down.data(), kPacketSlots};
    up = {&packets->up_positions, packets->up.data(), kPacketSlots};
    seen = {&packets->seen_positions, packets->seen.data(), kSeenSlots};
  }

  int socket_ = -1;
  bool connected_ = false;
};

/// A directory of its own for a socket; gone with the object.
class ScratchDirectory {
 public:
  ScratchDirectory() {
    char name[] = "/tmp/skyedge-test-XXXXXX";
    path = mkdtemp(name);
  }
  ~ScratchDirectory() { rmdir(path.c_str()); }
  std::string path;
};

}  // namespace sky::dataplane::test
