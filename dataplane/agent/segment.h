// The memory and the socket of the contract, dataplane's side (docs/protocol.md, "Contract"; protocol/segment.h).
//
// SharedPages is one sealed memfd, mapped. Endpoint listens at RUNTIME/dataplane.sock and has at most one owner, the
// control plane attached now; others wait in the socket's queue until it goes. An owner gets rings and control packets
// made for it alone, so a former owner's mapping reaches nothing. A peer that is neither root, nor this process's own
// user, nor the configured one, one that does not say what it wants within a second, or one with another ABI is sent
// away. Main core only; nothing here blocks. Cost of a turn: one system call, none at all in shared memory.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "dataplane/base/result.h"
#include "dataplane/protocol/control_packet.h"
#include "dataplane/protocol/install.h"
#include "dataplane/protocol/segment.h"
#include "dataplane/protocol/shm_ring.h"
#include "drivers/idle.h"

namespace sky::dataplane {

class SharedPages {
 public:
  /// Zeroed memory whose size nobody can change. `read_only_for_others`: no new mapping or write but through this one.
  static Result<SharedPages> create(const char* name, size_t bytes, bool read_only_for_others);
  SharedPages(SharedPages&& other) noexcept;
  SharedPages& operator=(SharedPages&&) = delete;
  ~SharedPages();

  void* data() const { return data_; }
  int descriptor() const { return descriptor_; }
  size_t bytes() const { return bytes_; }

 private:
  SharedPages(int descriptor, void* data, size_t bytes) : descriptor_(descriptor), data_(data), bytes_(bytes) {}

  int descriptor_;
  void* data_;
  size_t bytes_;
};

/// What one control plane is attached by. Gone with it, keys in the rings wiped.
class Attachment {
 public:
  static Result<std::unique_ptr<Attachment>> create(uint64_t fence);
  Attachment(const Attachment&) = delete;
  Attachment& operator=(const Attachment&) = delete;
  ~Attachment();

  uint64_t fence() const { return fence_; }
  bool broken() const {
    return install.broken() || acks.broken() || events.broken() || packets_down.broken() || packets_up.broken() ||
           seen.broken();
  }

  ShmConsumer<InstallMessage> install;
  ShmProducer<InstallMessage> acks;
  ShmProducer<InstallMessage> events;
  ShmConsumer<ControlPacket> packets_down;
  ShmProducer<ControlPacket> packets_up;
  ShmProducer<SeenPacket> seen;
  int doorbell_down = -1;  ///< our end of what the control plane rings
  int doorbell_up = -1;    ///< our end of what we ring

 private:
  friend class Endpoint;
  Attachment(uint64_t fence, SharedPages rings, SharedPages packets);
  /// The control plane has its ends: with ours alone left, we hear when it lets go of them.
  void keep_own_doorbells();

  uint64_t fence_;
  SharedPages rings_;
  SharedPages packets_;
  int their_doorbell_down_ = -1;  ///< ends that the control plane gets, closed here once it has them
  int their_doorbell_up_ = -1;
};

class Endpoint {
 public:
  /// Makes the socket's directory (mode 0700) if it is missing and replaces a socket that nobody listens on.
  /// `counters` outlives the endpoint. `control_user` may attach too; with one the socket is open to this process's
  /// group, which that user is in.
  static Result<std::unique_ptr<Endpoint>> open(const std::string& path, uint64_t boot_id, const SharedPages& counters,
                                                Suites suites = kAllSuites, std::optional<uid_t> control_user = {});
  ~Endpoint();
  Endpoint(const Endpoint&) = delete;
  Endpoint& operator=(const Endpoint&) = delete;

  enum class Change { none, attached, detached };
  /// Lets go of an owner that hung up, or takes the next control plane.
  Change turn(uint64_t now_ns);
  /// Sends the owner away.
  void drop_owner();
  Attachment* owner() const { return attachment_.get(); }
  /// Readable when a turn has something to do, and while the owner's doorbell is rung.
  int descriptor() const { return waiter_.descriptor(); }

 private:
  Endpoint(std::string path, uint64_t boot_id, const SharedPages& counters, Suites suites,
           std::optional<uid_t> control_user, int listener, drivers::Waiter waiter);

  void accept_next(uint64_t now_ns);
  bool greet();
  Result<> hand_over(AttachStatus status);
  void close_peer();

  std::string path_;
  uint64_t boot_id_;
  const SharedPages& counters_;
  Suites suites_;
  std::optional<uid_t> control_user_;
  int listener_;
  drivers::Waiter waiter_;
  int peer_ = -1;               ///< the owner, or the one that has not said yet what it wants
  uint64_t peer_until_ns_ = 0;  ///< patience with the latter
  uint64_t fence_ = 0;
  std::unique_ptr<Attachment> attachment_;
};

}  // namespace sky::dataplane
