#include "controlplane/install/handover.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <string_view>

#include "dataplane/base/privileges.h"

namespace sky::controlplane {
namespace {

constexpr uint64_t kMostCounterBytes = uint64_t{1} << 32;

std::string why() {
  return std::strerror(errno);
}

Result<> check_peer(int socket, std::optional<uid_t> dataplane_user) {
  ucred peer{};
  socklen_t length = sizeof(peer);
  if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0) {
    return fail("dataplane socket: no credentials of the peer: {}", why());
  }
  if (is_believed(peer.uid, dataplane_user)) return {};
  return fail("dataplane socket: served by user {}, wanted root or user {}", peer.uid,
              dataplane_user.value_or(geteuid()));
}

std::string_view reason(AttachStatus status) {
  switch (status) {
    case AttachStatus::ok:
      return "ok";
    case AttachStatus::wrong_magic:
      return "it does not know this kind of request";
    case AttachStatus::wrong_abi:
      return "it speaks another version of the contract: restart it with this version";
    case AttachStatus::not_allowed:
      return "this user may not attach: users.control of its router.yaml names who may";
  }
  return "for a reason that this version does not know";
}

Result<> check_reply(const AttachReply& reply) {
  const AbiSizes own, &its = reply.sizes;
  if (reply.magic != kSegmentMagic) {
    return fail("attach: found magic {:#x}, wanted {:#x}", reply.magic, kSegmentMagic);
  }
  if (reply.status != AttachStatus::ok) {
    return fail("attach: the dataplane refused: {}", reason(reply.status));
  }
  if (its != own) {
    return fail("attach: found ABI version {} (message {} bytes, slot {}, rule {}), wanted {} ({}, {}, {})",
                its.abi_version, its.message_bytes, its.slot_bytes, its.rule_bytes, own.abi_version, own.message_bytes,
                own.slot_bytes, own.rule_bytes);
  }
  if (reply.counters_bytes == 0 || reply.counters_bytes > kMostCounterBytes) {
    return fail("attach: found {} bytes of counters, wanted 1 to {}", reply.counters_bytes, kMostCounterBytes);
  }
  return {};
}

/// Maps the first `bytes` of a memfd that its maker can no longer shrink: a shrunk one would be a SIGBUS here.
Result<Mapping> map(const Descriptor& fd, std::string_view name, uint64_t bytes, int protection) {
  struct stat status {};
  if (fstat(fd.get(), &status) != 0 || !S_ISREG(status.st_mode)) {
    return fail("attach: {} is no memfd", name);
  }
  if (static_cast<uint64_t>(status.st_size) < bytes) {
    return fail("attach: {}: found {} bytes, wanted at least {}", name, status.st_size, bytes);
  }
  const int seals = fcntl(fd.get(), F_GET_SEALS);
  if (seals < 0 || (seals & F_SEAL_SHRINK) == 0) {
    return fail("attach: {} is not sealed against shrinking", name);
  }
  Mapping mapping(fd.get(), bytes, protection);
  if (!mapping) return fail("attach: {}: {}", name, why());
  return mapping;
}

struct Reply {
  AttachReply reply{};
  std::array<Descriptor, kAttachFds> fds;
};

/// Every descriptor that came is owned before anything is judged, so none leaks.
Result<Reply> receive(int socket) {
  Reply reply;
  iovec data{&reply.reply, sizeof(reply.reply)};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int) * kAttachFds)> control{};
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  const ssize_t length = recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (length < 0) return fail("attach: {}", why());

  size_t count = 0;
  for (cmsghdr* part = CMSG_FIRSTHDR(&message); part != nullptr; part = CMSG_NXTHDR(&message, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
    for (size_t at = 0; CMSG_LEN((at + 1) * sizeof(int)) <= part->cmsg_len; ++at, ++count) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(part) + at * sizeof(int), sizeof(int));
      Descriptor owned(fd);
      if (count < kAttachFds) reply.fds[count] = std::move(owned);
    }
  }
  if (length == 0) return fail("attach: the dataplane closed the socket instead of answering");
  if (static_cast<size_t>(length) != sizeof(AttachReply) || (message.msg_flags & MSG_TRUNC)) {
    return fail("attach: found a reply of {} bytes, wanted {}", length, sizeof(AttachReply));
  }
  if (auto checked = check_reply(reply.reply); !checked) return std::unexpected(checked.error());
  if (count != kAttachFds || (message.msg_flags & MSG_CTRUNC)) {
    return fail("attach: found {} descriptors, wanted {}", count, static_cast<int>(kAttachFds));
  }
  return reply;
}

bool is_socket(const Descriptor& fd) {
  struct stat status {};
  return fstat(fd.get(), &status) == 0 && S_ISSOCK(status.st_mode);
}

}  // namespace

Result<Descriptor> ask_to_attach(const std::string& socket_path, std::optional<uid_t> dataplane_user) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (socket_path.size() >= sizeof(address.sun_path)) {
    return fail("{}: found a path of {} bytes, wanted at most {}", socket_path, socket_path.size(),
                sizeof(address.sun_path) - 1);
  }
  socket_path.copy(address.sun_path, socket_path.size());
  Descriptor socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket) return fail("{}: {}", socket_path, why());
  if (connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    return fail("{}: {}", socket_path, why());
  }
  if (auto peer = check_peer(socket.get(), dataplane_user); !peer) return std::unexpected(peer.error());
  const AttachRequest request;
  if (send(socket.get(), &request, sizeof(request), MSG_NOSIGNAL) != sizeof(request)) {
    return fail("{}: {}", socket_path, why());
  }
  return socket;
}

Result<Handover> take_handover(const Descriptor& socket) {
  auto received = receive(socket.get());
  if (!received) return std::unexpected(received.error());
  auto& [reply, fds] = *received;
  constexpr int kBoth = PROT_READ | PROT_WRITE;
  auto rings = map(fds[kRingsFd], "rings", sizeof(RingsSegment), kBoth);
  if (!rings) return std::unexpected(rings.error());
  auto packets = map(fds[kPacketsFd], "control packets", sizeof(PacketsSegment), kBoth);
  if (!packets) return std::unexpected(packets.error());
  auto counters = map(fds[kCountersFd], "counters", reply.counters_bytes, PROT_READ);
  if (!counters) return std::unexpected(counters.error());
  if (!is_socket(fds[kDoorbellDownFd]) || !is_socket(fds[kDoorbellUpFd])) {
    return fail("attach: a doorbell is no socket");
  }
  return Handover{reply,
                  std::move(*rings),
                  std::move(*packets),
                  std::move(*counters),
                  std::move(fds[kDoorbellDownFd]),
                  std::move(fds[kDoorbellUpFd])};
}

}  // namespace sky::controlplane
