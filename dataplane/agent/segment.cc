#include "dataplane/agent/segment.h"

#include <fcntl.h>
#include <sodium.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

#include "dataplane/base/log.h"
#include "dataplane/base/privileges.h"
#include "dataplane/protocol/doorbell.h"

namespace sky::dataplane {
namespace {

constexpr uint64_t kGreetingNs = 1'000'000'000;
constexpr int kWaitingControlPlanes = 4;

Result<sockaddr_un> address_of(const std::string& path) {
  sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
  if (path.size() >= sizeof(address.sun_path)) {
    return fail("socket {}: found a path of {} bytes, wanted at most {}", path, path.size(),
                sizeof(address.sun_path) - 1);
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

/// Another dataplane's socket is left alone, one that nobody listens on is removed.
Result<> remove_stale(const std::string& path, const sockaddr_un& address) {
  const int probe = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  const bool alive = connect(probe, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0;
  close(probe);
  if (alive) return fail("socket {}: another dataplane serves it; stop that one first", path);
  struct stat found {};
  if (lstat(path.c_str(), &found) == 0 && S_ISSOCK(found.st_mode)) unlink(path.c_str());
  return {};
}

/// `mode`: who may connect at all; whom of these the dataplane listens to is asked when they come.
Result<int> listen_at(const std::string& path, mode_t mode) {
  const auto address = address_of(path);
  if (!address) return std::unexpected(address.error());
  std::error_code error;
  const std::filesystem::path directory = std::filesystem::path(path).parent_path();
  if (!std::filesystem::exists(directory, error)) {
    std::filesystem::create_directories(directory.parent_path(), error);
    if (mkdir(directory.c_str(), 0700) != 0) {
      return fail("runtime directory {}: {}", directory.string(), std::strerror(errno));
    }
  }
  if (auto removed = remove_stale(path, *address); !removed) return std::unexpected(removed.error());
  const int listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (bind(listener, reinterpret_cast<const sockaddr*>(&*address), sizeof(*address)) != 0 ||
      chmod(path.c_str(), mode) != 0 || listen(listener, kWaitingControlPlanes) != 0) {
    const int why = errno;
    close(listener);
    return fail("socket {}: {}", path, std::strerror(why));
  }
  return listener;
}

bool may_attach(int peer, std::optional<uid_t> control_user) {
  ucred credentials{};
  socklen_t size = sizeof(credentials);
  return getsockopt(peer, SOL_SOCKET, SO_PEERCRED, &credentials, &size) == 0 &&
         is_believed(credentials.uid, control_user);
}

Result<> make_doorbell(int& ours, int& theirs) {
  std::array<int, 2> ends;
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends.data()) != 0) {
    return fail("no doorbell: {}", std::strerror(errno));
  }
  ours = ends[0];
  theirs = ends[1];
  return {};
}

void close_one(int& descriptor) {
  if (descriptor >= 0) close(descriptor);
  descriptor = -1;
}

}  // namespace

Result<SharedPages> SharedPages::create(const char* name, size_t bytes, bool read_only_for_others) {
  const int descriptor = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (descriptor < 0) return fail("no shared memory {}: {}", name, std::strerror(errno));
  void* data = MAP_FAILED;
  if (ftruncate(descriptor, static_cast<off_t>(bytes)) == 0) {
    data = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
  }
  const int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL | (read_only_for_others ? F_SEAL_FUTURE_WRITE : 0);
  if (data == MAP_FAILED || fcntl(descriptor, F_ADD_SEALS, seals) != 0) {
    const int why = errno;
    if (data != MAP_FAILED) munmap(data, bytes);
    close(descriptor);
    return fail("shared memory {} of {} bytes: {}", name, bytes, std::strerror(why));
  }
  return SharedPages(descriptor, data, bytes);
}

SharedPages::SharedPages(SharedPages&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)),
      data_(std::exchange(other.data_, nullptr)),
      bytes_(other.bytes_) {}

SharedPages::~SharedPages() {
  if (data_ != nullptr) munmap(data_, bytes_);
  if (descriptor_ >= 0) close(descriptor_);
}

Result<std::unique_ptr<Attachment>> Attachment::create(uint64_t fence) {
  auto rings = SharedPages::create("skyedge-rings", sizeof(RingsSegment), false);
  if (!rings) return std::unexpected(rings.error());
  auto packets = SharedPages::create("skyedge-packets", sizeof(PacketsSegment), false);
  if (!packets) return std::unexpected(packets.error());
  std::unique_ptr<Attachment> attachment(new Attachment(fence, std::move(*rings), std::move(*packets)));
  if (auto made = make_doorbell(attachment->doorbell_down, attachment->their_doorbell_down_); !made) {
    return std::unexpected(made.error());
  }
  if (auto made = make_doorbell(attachment->doorbell_up, attachment->their_doorbell_up_); !made) {
    return std::unexpected(made.error());
  }
  return attachment;
}

Attachment::Attachment(uint64_t fence, SharedPages rings, SharedPages packets)
    : fence_(fence), rings_(std::move(rings)), packets_(std::move(packets)) {
  // Key chains pass through the rings; locking fails where limits forbid it, and then goes without.
  mlock2(rings_.data(), rings_.bytes(), MLOCK_ONFAULT);
  auto* ring = static_cast<RingsSegment*>(rings_.data());
  install = {&ring->install_positions, ring->install.data(), kInstallSlots};
  acks = {&ring->ack_positions, ring->ack.data(), kAckSlots};
  events = {&ring->event_positions, ring->event.data(), kEventSlots};
  auto* packet = static_cast<PacketsSegment*>(packets_.data());
  packets_down = {&packet->down_positions, packet->down.data(), kPacketSlots};
  packets_up = {&packet->up_positions, packet->up.data(), kPacketSlots};
  seen = {&packet->seen_positions, packet->seen.data(), kSeenSlots};
}

Attachment::~Attachment() {
  auto* ring = static_cast<RingsSegment*>(rings_.data());
  sodium_memzero(ring->install.data(), sizeof(ring->install));
  keep_own_doorbells();
  close_one(doorbell_down);
  close_one(doorbell_up);
}

void Attachment::keep_own_doorbells() {
  close_one(their_doorbell_down_);
  close_one(their_doorbell_up_);
}

Result<std::unique_ptr<Endpoint>> Endpoint::open(const std::string& path, uint64_t boot_id, const SharedPages& counters,
                                                 Suites suites, std::optional<uid_t> control_user) {
  auto waiter = drivers::Waiter::create();
  if (!waiter) return std::unexpected(waiter.error());
  const auto listener = listen_at(path, control_user ? 0660 : 0600);
  if (!listener) return std::unexpected(listener.error());
  std::unique_ptr<Endpoint> endpoint(
      new Endpoint(path, boot_id, counters, suites, control_user, *listener, std::move(*waiter)));
  if (auto added = endpoint->waiter_.add(*listener); !added) return std::unexpected(added.error());
  return endpoint;
}

Endpoint::Endpoint(std::string path, uint64_t boot_id, const SharedPages& counters, Suites suites,
                   std::optional<uid_t> control_user, int listener, drivers::Waiter waiter)
    : path_(std::move(path)),
      boot_id_(boot_id),
      counters_(counters),
      suites_(suites),
      control_user_(control_user),
      listener_(listener),
      waiter_(std::move(waiter)) {}

Endpoint::~Endpoint() {
  close_peer();
  close(listener_);
  unlink(path_.c_str());
}

Endpoint::Change Endpoint::turn(uint64_t now_ns) {
  if (peer_ < 0) accept_next(now_ns);
  if (peer_ < 0) return Change::none;
  if (attachment_ == nullptr) {
    if (greet()) return Change::attached;
    if (peer_ >= 0 && now_ns > peer_until_ns_) close_peer();
    return Change::none;
  }
  const bool has_doorbell = clear_doorbell(attachment_->doorbell_down);
  // An owner says nothing more on its socket: readable means gone, or confused.
  char byte;
  const bool quiet = has_doorbell && recv(peer_, &byte, 1, MSG_DONTWAIT) < 0 && (errno == EAGAIN || errno == EINTR);
  if (quiet) return Change::none;
  drop_owner();
  return Change::detached;
}

void Endpoint::drop_owner() {
  close_peer();
}

void Endpoint::accept_next(uint64_t now_ns) {
  peer_ = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (peer_ < 0) return;
  peer_until_ns_ = now_ns + kGreetingNs;
  // Those that wait must not keep us awake.
  waiter_.remove(listener_);
  if (!may_attach(peer_, control_user_)) {
    static_cast<void>(hand_over(AttachStatus::not_allowed));
    log_warning("{}: a control plane of another user was sent away", path_);
    close_peer();
  } else if (!waiter_.add(peer_)) {
    close_peer();
  }
}

/// True when the peer became the owner.
bool Endpoint::greet() {
  AttachRequest request;
  request.magic = 0;
  // The length that was sent, also where more was sent than is read here.
  const ssize_t size = recv(peer_, &request, sizeof(request), MSG_DONTWAIT | MSG_TRUNC);
  if (size < 0 && (errno == EAGAIN || errno == EINTR)) return false;
  AttachStatus status = AttachStatus::ok;
  if (size < static_cast<ssize_t>(sizeof(request.magic)) || request.magic != kSegmentMagic) {
    status = AttachStatus::wrong_magic;
  } else if (size != sizeof(request) || request.sizes != AbiSizes{}) {
    status = AttachStatus::wrong_abi;
  }
  auto handed = hand_over(status);
  if (status == AttachStatus::ok && handed) return true;
  if (!handed) log_warning("{}: {}", path_, handed.error().message);
  close_peer();
  return false;
}

/// Answers the peer; with `ok` the attachment is made and its descriptors go along.
Result<> Endpoint::hand_over(AttachStatus status) {
  AttachReply reply;
  reply.status = status;
  iovec part{.iov_base = &reply, .iov_len = sizeof(reply)};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  alignas(cmsghdr) std::array<char, CMSG_SPACE(kAttachFds * sizeof(int))> control{};
  if (status == AttachStatus::ok) {
    auto made = Attachment::create(++fence_);
    if (!made) return std::unexpected(made.error());
    attachment_ = std::move(*made);
    if (auto added = waiter_.add(attachment_->doorbell_down); !added) return added;
    reply.suites = suites_;
    reply.boot_id = boot_id_;
    reply.fence = fence_;
    reply.counters_bytes = counters_.bytes();
    std::array<int, kAttachFds> descriptors{};
    descriptors[kRingsFd] = attachment_->rings_.descriptor();
    descriptors[kPacketsFd] = attachment_->packets_.descriptor();
    descriptors[kCountersFd] = counters_.descriptor();
    descriptors[kDoorbellDownFd] = attachment_->their_doorbell_down_;
    descriptors[kDoorbellUpFd] = attachment_->their_doorbell_up_;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(descriptors));
    std::memcpy(CMSG_DATA(header), descriptors.data(), sizeof(descriptors));
  }
  if (sendmsg(peer_, &message, MSG_NOSIGNAL | MSG_DONTWAIT) != sizeof(reply)) {
    return fail("cannot answer a control plane: {}", std::strerror(errno));
  }
  if (attachment_ != nullptr) attachment_->keep_own_doorbells();
  return {};
}

void Endpoint::close_peer() {
  if (attachment_ != nullptr) waiter_.remove(attachment_->doorbell_down);
  attachment_.reset();
  if (peer_ < 0) return;
  waiter_.remove(peer_);
  close(peer_);
  peer_ = -1;
  static_cast<void>(waiter_.add(listener_));
}

}  // namespace sky::dataplane
