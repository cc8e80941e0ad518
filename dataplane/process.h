// The dataplane process put together: EAL, ports, TUN, tables, workers and the main core's loop, from router.yaml.
// The order of members is the order in which they come up; they go down in reverse, workers first.
#pragma once

#include <sys/capability.h>

#include <atomic>
#include <memory>
#include <vector>

#include "dataplane/agent/agent.h"
#include "dataplane/agent/dead_routes.h"
#include "dataplane/agent/segment.h"
#include "dataplane/base/config.h"
#include "dataplane/tables/tables.h"
#include "dataplane/worker.h"
#include "drivers/idle.h"
#include "drivers/port.h"
#include "drivers/tun.h"

namespace sky::dataplane {

/// The EAL's life, for one owner. Only one in a process's life.
class Eal {
 public:
  static Result<Eal> start(const RouterConfig& config, uint64_t memory_bytes);
  Eal(Eal&& other) noexcept : started_(std::exchange(other.started_, false)) {}
  Eal& operator=(Eal&&) = delete;
  ~Eal();

 private:
  explicit Eal(bool started) : started_(started) {}
  bool started_;
};

class Process {
 public:
  /// All is up and forwarding when this returns.
  static Result<std::unique_ptr<Process>> start(const RouterConfig& config);
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  /// The main core's loop, until `stop_descriptor` is readable.
  void run(int stop_descriptor);

 private:
  Process(Eal eal, SharedPages counters, Stats stats, drivers::Waiter waiter);

  Result<> open_ports(const RouterConfig& config);
  Result<> make_tables(const RouterConfig& config);
  Result<> make_workers(const RouterConfig& config);
  Result<> start_agent(const RouterConfig& config);
  Result<> launch(const std::vector<cap_value_t>& kept);

  /// One turn; returns how long to sleep.
  uint64_t turn(uint64_t now_ns);
  void keep_house(uint64_t now_ns);
  void watch_workers(uint64_t now_ns);

  Eal eal_;
  SharedPages counters_;
  Stats stats_;
  uint64_t boot_id_ = 0;
  Suites suites_ = 0;  ///< of CPU and configuration
  drivers::Waiter waiter_;
  int wake_main_ = -1;

  std::vector<std::unique_ptr<drivers::Port>> ports_;
  std::unique_ptr<drivers::Tun> tun_;
  std::unique_ptr<AeadEngine> keys_;
  std::unique_ptr<KeyLog> key_log_;
  std::unique_ptr<Quiescence> quiescence_;
  std::unique_ptr<Tables> tables_;
  std::vector<std::unique_ptr<WorkerChannel>> channels_;
  std::vector<WorkerChannel*> channel_pointers_;
  std::vector<std::unique_ptr<Worker>> workers_;
  std::atomic<bool> stop_workers_{false};

  std::unique_ptr<Endpoint> endpoint_;
  std::unique_ptr<DeadRoutes> dead_routes_;
  std::unique_ptr<Agent> agent_;
  std::vector<InstallMessage> events_;
  uint64_t batches_seen_ = 0;
  uint64_t brisk_until_ns_ = 0;
  uint64_t next_house_ns_ = 0;
  bool hang_told_ = false;
};

}  // namespace sky::dataplane
