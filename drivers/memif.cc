#include "drivers/memif.h"

#include <rte_alarm.h>
#include <rte_ethdev.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <mutex>
#include <set>
#include <vector>

#include "dataplane/base/log.h"
#include "drivers/interface.h"
#include "drivers/port.h"
#include "drivers/quiet_log.h"

namespace sky::drivers {
namespace {

constexpr unsigned kHoldUs = 20'000;   ///< the interrupt thread, while all ports are connected
constexpr unsigned kWatchUs = 2'000;   ///< the same while one is not: a connection takes some ten messages
constexpr unsigned kBetweenUs = 20;    ///< an alarm that is due at once keeps the thread from anything else
constexpr unsigned kRoundsToTry = 50;  ///< until a client asks for a server again: 100 ms
constexpr uint32_t kLeastBufferBytes = 2048;
constexpr const char* kLogName = "pmd.net.memif";

/// Holds EAL's interrupt thread and looks after the ports in it. Between two rounds the thread does what the driver
/// has for it, with every gate locked.
class InterruptThread {
 public:
  /// For ever: EAL's thread outlives everything else.
  static InterruptThread& instance() {
    static auto* const only = new InterruptThread;
    return *only;
  }

  Result<> add(MemifDriver& port) {
    const std::lock_guard guard(mutex_);
    if (between_rounds_) port.gate()->lock();
    ports_.push_back(&port);
    if (running_) return {};
    if (rte_eal_alarm_set(kBetweenUs, round, nullptr) != 0)
      return fail("no alarm from EAL, which memif's connections need");
    running_ = true;
    return {};
  }

  bool running() const { return running_; }

  /// Calls `close` while the thread is held, as it is for good when this was the last port.
  template <typename Close>
  void remove(MemifDriver& port, Close close) {
    std::unique_lock lock(mutex_);
    while (running_ && between_rounds_) {
      lock.unlock();
      usleep(kBetweenUs);
      lock.lock();
    }
    std::erase(ports_, &port);
    port.gate()->set_open(false);
    close();
  }

 private:
  static void round(void*) { instance().run(); }

  void run() noexcept {
    std::unique_lock lock(mutex_);
    bool all_connected = true;
    for (MemifDriver* port : ports_) {
      port->look_after();
      all_connected = all_connected && port->connected();
      port->gate()->unlock();
    }
    between_rounds_ = false;
    lock.unlock();
    usleep(all_connected ? kHoldUs : kWatchUs);
    lock.lock();
    // The driver frees what it had the thread listen on, and EAL its memory: it would find neither.
    while (ports_.empty()) {
      lock.unlock();
      pause();
      lock.lock();
    }
    for (MemifDriver* port : ports_) port->gate()->lock();
    between_rounds_ = true;
    rte_eal_alarm_set(kBetweenUs, round, nullptr);
  }

  std::mutex mutex_;
  std::vector<MemifDriver*> ports_;
  std::atomic<bool> running_ = false;
  bool between_rounds_ = true;  ///< all gates are locked: the driver may do as it likes
};

/// A server at `path` that has not gone. A stream is none of its sort, so it does not notice: net_memif's server frees
/// twice what it made for a client that goes before it was greeted.
bool is_served(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path.c_str(), sizeof(address.sun_path) - 1);
  const int socket = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  const bool refused = connect(socket, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0 &&
                       (errno == ECONNREFUSED || errno == ENOENT);
  close(socket);
  return !refused;
}

/// A memif client's: connected to somebody with a name, as listeners, socket pairs and what a server accepted are not.
/// Which name the server gave its path is its own affair.
bool is_clients(int descriptor) {
  int type = 0;
  socklen_t size = sizeof(type);
  sockaddr_un peer{};
  socklen_t length = sizeof(peer);
  return getsockopt(descriptor, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_SEQPACKET &&
         getpeername(descriptor, reinterpret_cast<sockaddr*>(&peer), &length) == 0 && peer.sun_family == AF_UNIX &&
         length > sizeof(peer.sun_family);
}

/// 0 where there is none.
ino_t inode_of(int descriptor) {
  struct stat status {};
  return fstat(descriptor, &status) == 0 ? status.st_ino : 0;
}

}  // namespace

bool holds_interrupt_thread() noexcept {
  return InterruptThread::instance().running();
}

Result<> clear_socket_path(const std::string& path) {
  struct stat status {};
  if (lstat(path.c_str(), &status) != 0) return {};
  if (!S_ISSOCK(status.st_mode)) return fail("{}: found a file, wanted a socket or nothing", path);
  if (is_served(path)) return fail("{}: found a process that serves there, wanted a path of its own", path);
  if (unlink(path.c_str()) != 0) return fail("{}: left there and cannot be removed: {}", path, std::strerror(errno));
  return {};
}

MemifDriver::MemifDriver(const PortConfig& config) : PortDriver(config) {
  gate_.set_open(false);
}

bool MemifDriver::is_server() const {
  const std::string& role = *device_.find("role");
  return role == "server" || role == "master";
}

Result<std::string> MemifDriver::prepare() {
  static std::set<std::string> served;  // by this process, whose ports may share a socket
  if (is_server() && served.insert(*device_.find("socket")).second) {
    if (auto cleared = clear_socket_path(*device_.find("socket")); !cleared) return std::unexpected(cleared.error());
  }
  std::string whole = config_.device;
  if (device_.find("socket-abstract") == nullptr) whole += ",socket-abstract=no";
  // A frame in one buffer: the driver would put the rest into another.
  const uint32_t frame = (config_.mtu + kEthernetBytes + 63) / 64 * 64;
  if (device_.find("bsize") == nullptr) whole += fmt::format(",bsize={}", std::max(frame, kLeastBufferBytes));
  quiet_ = std::make_unique<QuietLog>(kLogName, RTE_LOG_ERR);
  return whole;
}

Result<> MemifDriver::probed(uint16_t id) {
  id_ = id;
  quiet_.reset();
  if (!is_server()) return {};
  const std::string& path = *device_.find("socket");
  if (chmod(path.c_str(), S_IRUSR | S_IWUSR) == 0) return {};
  return fail("{}: {}", path, std::strerror(errno));
}

Result<> MemifDriver::start(uint16_t id) {
  if (is_server()) {
    if (auto done = PortDriver::start(id); !done) return done;
  }
  log_info("port {}: waits for its memif peer at {}", config_.name, *device_.find("socket"));
  return InterruptThread::instance().add(*this);
}

void MemifDriver::close(uint16_t id) {
  InterruptThread::instance().remove(*this, [&] { PortDriver::close(id); });
}

void MemifDriver::look_after() noexcept {
  rte_eth_link link{};
  const bool there = rte_eth_link_get_nowait(id_, &link) == 0 && link.link_status == RTE_ETH_LINK_UP;
  if (there != connected_) set_connected(there);
  // A server that is slow to answer is waited for: it would not be faster for a second connection, and the driver would
  // wait inside the third.
  const bool asking = connection_inode_ != 0 && inode_of(connection_) == connection_inode_;
  if (there || is_server() || asking) return;
  if (rounds_to_try_ > 0 && --rounds_to_try_ > 0) return;
  rounds_to_try_ = kRoundsToTry;
  const QuietLog quiet(kLogName, RTE_LOG_CRIT);
  rte_eth_dev_stop(id_);
  const std::vector<int> before = open_descriptors();
  if (rte_eth_dev_start(id_) != 0) return;
  const std::vector<int> opened = opened_since(before);
  // Other threads open sockets meanwhile.
  const auto connection = std::ranges::find_if(opened, is_clients);
  if (connection == opened.end()) return;
  connection_ = *connection;
  connection_inode_ = inode_of(connection_);
}

void MemifDriver::set_connected(bool connected) noexcept {
  connected_ = connected;
  rounds_to_try_ = 0;
  gate_.set_open(connected);
  log_info("port {}: its memif peer is {}", config_.name, connected ? "there" : "gone");
}

}  // namespace sky::drivers
