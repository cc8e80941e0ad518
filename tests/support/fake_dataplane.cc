#include "tests/support/fake_dataplane.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <new>
#include <stdexcept>

#include "dataplane/protocol/doorbell.h"

namespace sky::test {
namespace {

constexpr uint32_t kWorkers = 1, kPorts = 2, kLinks = 4, kGroups = 8;

/// Our end; the other one is for the control plane.
Descriptor make_doorbell(Descriptor& theirs) {
  std::array<int, 2> ends;
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) throw std::runtime_error("socketpair");
  theirs = Descriptor(ends[1]);
  return Descriptor(ends[0]);
}

}  // namespace

Descriptor make_memfd(size_t bytes, bool sealed) {
  Descriptor fd(memfd_create("fake", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (ftruncate(fd.get(), static_cast<off_t>(bytes)) != 0) throw std::runtime_error("ftruncate");
  if (sealed) fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW);
  return fd;
}

FakeDataplane::FakeDataplane(const std::string& path) : listener_(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof(address.sun_path) - 1);
  unlink(path.c_str());
  if (bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0 ||
      listen(listener_.get(), 4) != 0) {
    throw std::runtime_error("cannot listen at " + path);
  }
  layout = StatsLayout::of(kWorkers, kPorts, kLinks, kGroups);
  fds.resize(kAttachFds);
  fds[kCountersFd] = make_memfd(layout.bytes);
  counters_ = Mapping(fds[kCountersFd].get(), layout.bytes, PROT_READ | PROT_WRITE);
  reply.boot_id = 0x1234;
  reply.counters_bytes = layout.bytes;
  StatsHeader& header = stats();
  header.magic = kStatsMagic;
  header.abi_version = kAbiVersion;
  header.counters = kCounters;
  header.drop_reasons = kDropReasons;
  header.stages = kStages;
  header.workers = kWorkers;
  header.ports = kPorts;
  header.links = kLinks;
  header.groups = kGroups;
  header.boot_id = reply.boot_id;
  make_rings();
}

void FakeDataplane::make_rings() {
  fds[kRingsFd] = make_memfd(sizeof(RingsSegment));
  fds[kPacketsFd] = make_memfd(sizeof(PacketsSegment));
  doorbell_down_ = make_doorbell(fds[kDoorbellDownFd]);
  doorbell_up_ = make_doorbell(fds[kDoorbellUpFd]);
  rings_ = Mapping(fds[kRingsFd].get(), sizeof(RingsSegment), PROT_READ | PROT_WRITE);
  packets_ = Mapping(fds[kPacketsFd].get(), sizeof(PacketsSegment), PROT_READ | PROT_WRITE);
  install_ = {&rings().install_positions, rings().install.data(), kInstallSlots};
  acks_ = {&rings().ack_positions, rings().ack.data(), kAckSlots};
  events_ = {&rings().event_positions, rings().event.data(), kEventSlots};
  down_ = {&packets().down_positions, packets().down.data(), kPacketSlots};
  up_ = {&packets().up_positions, packets().up.data(), kPacketSlots};
  seen_ = {&packets().seen_positions, packets().seen.data(), kSeenSlots};
}

bool FakeDataplane::accept() {
  client_ = Descriptor(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  AttachRequest request;
  if (recv(client_.get(), &request, sizeof(request), 0) != sizeof(request) || request.magic != kSegmentMagic ||
      request.sizes != AbiSizes{}) {
    return false;
  }
  ++reply.fence;
  if (reply.fence > 1) make_rings();

  std::array<int, 16> numbers{};
  for (size_t i = 0; i < fds.size(); ++i) numbers[i] = fds[i].get();
  iovec data{&reply, sizeof(reply)};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(numbers))> control{};
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  if (!fds.empty()) {
    message.msg_control = control.data();
    message.msg_controllen = CMSG_SPACE(fds.size() * sizeof(int));
    cmsghdr* part = CMSG_FIRSTHDR(&message);
    part->cmsg_level = SOL_SOCKET;
    part->cmsg_type = SCM_RIGHTS;
    part->cmsg_len = CMSG_LEN(fds.size() * sizeof(int));
    std::memcpy(CMSG_DATA(part), numbers.data(), fds.size() * sizeof(int));
  }
  return sendmsg(client_.get(), &message, MSG_NOSIGNAL) == sizeof(reply);
}

size_t FakeDataplane::turn() {
  clear_doorbell(doorbell());
  size_t count = 0;
  for (InstallMessage message; install_.pop(message); ++count) handle(message);
  for (ControlPacket packet; down_.pop(packet); ++count) sent.push_back(packet);
  return count;
}

void FakeDataplane::handle(const InstallMessage& message) {
  switch (message.verb) {
    case Verb::watch:
      watches.push_back(message.as<WatchMessage>());
      break;
    case Verb::dump:
      answer(message.as<DumpMessage>());
      break;
    case Verb::begin: {
      const auto begin = message.as<BeginMessage>();
      if (begin.boot_id != reply.boot_id || begin.fence != reply.fence) refuse = InstallError::wrong_fence;
      batch_.clear();
      break;
    }
    case Verb::commit: {
      const auto commit = message.as<CommitMessage>();
      if (commit.count != batch_.size()) refuse = InstallError::count_mismatch;
      if (refuse == InstallError::none) committed.insert(committed.end(), batch_.begin(), batch_.end());
      generations.push_back(commit.generation);
      push_ack(InstallMessage::of(AckMessage{.error = refuse, .generation = commit.generation}));
      break;
    }
    default:
      batch_.push_back(message);
  }
}

void FakeDataplane::answer(const DumpMessage& dump) {
  const auto& rows = tables[dump.table];
  const size_t end = std::min<size_t>(rows.size(), size_t{dump.from} + dump.most);
  for (size_t i = dump.from; i < end; ++i) push_ack(rows[i]);
  push_ack(InstallMessage::of(DumpEndMessage{.table = dump.table,
                                             .rows = static_cast<uint32_t>(end - std::min<size_t>(dump.from, end)),
                                             .next = end < rows.size() ? static_cast<uint32_t>(end) : 0}));
}

void FakeDataplane::push_event(const InstallMessage& event) {
  events_.push(event);
  ring();
}

void FakeDataplane::push_packet(const ControlPacket& packet) {
  up_.push(packet);
  ring();
}

void FakeDataplane::push_seen(const SeenPacket& record) {
  seen_.push(record);
  ring();
}

void FakeDataplane::push_ack(const InstallMessage& message) {
  acks_.push(message);
  ring();
}

void FakeDataplane::ring() {
  ring_doorbell(doorbell_up_.get());
}

}  // namespace sky::test
