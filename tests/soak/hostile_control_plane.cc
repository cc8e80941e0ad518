#include "tests/soak/hostile_control_plane.h"

#include <sys/prctl.h>
#include <sys/wait.h>

#include <cerrno>
#include <csignal>
#include <optional>
#include <random>

#include "dataplane/protocol/doorbell.h"
#include "tests/soak/scribbler.h"
#include "tests/unit/agent/client.h"
#include "tests/unit/agent/random_batches.h"

namespace sky::soak {
namespace {

using namespace dataplane::test;

class Attacker {
 public:
  Attacker(std::string path, uint64_t boot_id, HostileFigures& figures)
      : path_(std::move(path)), boot_id_(boot_id), figures_(figures), scribbler_(2, figures.writes) {}

  [[noreturn]] void run() {
    for (;;) {
      if (!client_ || client_->sent_away()) {
        attach();
      } else {
        act();
      }
      std::this_thread::sleep_for(std::chrono::microseconds(50));
    }
  }

 private:
  void attach() {
    scribbler_.aim({});
    client_.reset();
    if (access(path_.c_str(), F_OK) != 0) return;
    client_.emplace(path_);
    std::optional<AttachReply> reply;
    for (unsigned tries = 0; client_->connected() && !reply && tries < 10'000; ++tries) {
      std::this_thread::sleep_for(std::chrono::microseconds(100));
      reply = client_->reply();
    }
    if (!reply || client_->rings == nullptr) return client_.reset();
    fence_ = reply->fence;
    generation_ = 0;
    if (++figures_.attachments == 1)
      figures_.counter_writes_refused = refused_counter_writes(client_->fds[kCountersFd]);
    RingsSegment& rings = *client_->rings;
    PacketsSegment& packets = *client_->packets;
    // Positions live long enough that batches get through, and are hit often enough to end most attachments.
    scribbler_.aim({{words_of(rings.install), 6'000},
                    {words_of(rings.install).first(8 * 64), 30'000},
                    {words_of(rings.ack), 6'000},
                    {words_of(rings.event), 6'000},
                    {words_of(packets.down), 6'000},
                    {words_of(packets.up), 6'000},
                    {words_of(rings.install_positions), 1},
                    {words_of(rings.ack_positions), 1},
                    {words_of(rings.event_positions), 1},
                    {words_of(packets.down_positions), 1},
                    {words_of(packets.seen), 6'000},
                    {words_of(packets.up_positions), 1},
                    {words_of(packets.seen_positions), 1}});
  }

  void act() {
    switch (random_.below(64)) {
      case 0:
        scribbler_.aim({});
        return client_.reset();
      case 1:
        return client_->ask_again();
      case 2:
      case 3:
        push(DumpMessage{.table = Table{static_cast<uint8_t>(random_.below(8))},
                         .from = random_.below(3) == 0 ? 0 : random_.below(UINT32_MAX),
                         .most = random_.below(2) == 0 ? 100 : random_.below(UINT32_MAX)});
        break;
      case 4:
        for (uint64_t& word : words_of(garbage_)) word = random_.below(UINT32_MAX);
        client_->install.push(garbage_);
        break;
      case 5 ... 15:
        drain();
        break;
      case 16 ... 31:
        send_packet();
        break;
      default:
        send_batch();
    }
    ring_doorbell(client_->fds[kDoorbellDownFd]);
  }

  void send_batch() {
    const auto messages = random_.batch();
    const bool lies = random_.below(16) == 0;
    push(BeginMessage{.generation = ++generation_,
                      .boot_id = boot_id_ + (lies && random_.below(2) == 0),
                      .fence = fence_ + (lies && random_.below(2) == 0)});
    for (const InstallMessage& message : messages) client_->install.push(message);
    const auto count = static_cast<uint32_t>(messages.size());
    push(CommitMessage{.count = lies ? random_.below(100) : count, .generation = generation_});
  }

  void send_packet() {
    ControlPacket packet;
    packet.kind = SlotKind{static_cast<uint8_t>(random_.below(5))};
    packet.type = static_cast<uint8_t>(random_.below(80));
    packet.length = static_cast<uint16_t>(random_.below(random_.below(2) ? 65'536 : 1'985));
    packet.link = LinkIndex{static_cast<uint16_t>(random_.below(10))};
    packet.port = PortIndex{static_cast<uint16_t>(random_.below(4))};
    packet.route = RouteId{random_.below(4)};
    packet.hop_limit = static_cast<uint8_t>(random_.below(70));
    packet.treatment = static_cast<uint8_t>(random_.below(4));
    packet.header[0] = version_kind(FrameKind::handshake);
    client_->down.push(packet);
  }

  void drain() {
    InstallMessage message;
    ControlPacket packet;
    while (client_->acks.pop(message)) {
    }
    while (client_->events.pop(message)) {
    }
    while (client_->up.pop(packet)) {
    }
  }

  template <typename Message>
  void push(const Message& message) {
    client_->install.push(InstallMessage::of(message));
  }

  std::string path_;
  uint64_t boot_id_;
  HostileFigures& figures_;
  RandomBatches random_{1};
  InstallMessage garbage_;
  std::optional<Client> client_;
  uint64_t fence_ = 0;
  uint64_t generation_ = 0;
  Scribbler scribbler_;
};

/// True when a process that writes to these pages, mapped for reading, dies of it.
bool dies_of_writing(void* pages) {
  const pid_t child = fork();
  if (child == 0) {
    signal(SIGSEGV, SIG_DFL);
    *static_cast<volatile uint64_t*>(pages) = 1;
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV;
}

}  // namespace

unsigned refused_counter_writes(int descriptor) {
  constexpr size_t kPage = 4096;
  unsigned refused = 0;
  const uint64_t word = 1;
  refused += mmap(nullptr, kPage, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0) == MAP_FAILED && errno == EPERM;
  refused += pwrite(descriptor, &word, sizeof(word), 0) < 0 && errno == EPERM;
  void* pages = mmap(nullptr, kPage, PROT_READ, MAP_SHARED, descriptor, 0);
  if (pages == MAP_FAILED) return 0;
  refused += mprotect(pages, kPage, PROT_READ | PROT_WRITE) < 0 && (errno == EACCES || errno == EPERM);
  refused += dies_of_writing(pages);
  munmap(pages, kPage);
  return refused;
}

pid_t start_hostile_control_plane(const std::string& socket_path, uint64_t boot_id, HostileFigures& figures) {
  const pid_t child = fork();
  if (child != 0) return child;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  Attacker(socket_path, boot_id, figures).run();
}

}  // namespace sky::soak
