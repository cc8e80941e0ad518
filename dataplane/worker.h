// One worker: runs to completion on its core, polls its inputs, and is the one place that names the stages in order.
//   receive > classify > open > route > (egress) > seal > transmit
// No lock, no allocation, no log; no system call but TUN, sleep and what software ports do inside.
//
// Idle: `spin` polls always. `adaptive` sleeps when a turn found no traffic for a while: where all inputs have
// descriptors it blocks on them until the next deadline, else it naps. The worker is QSBR-offline while it sleeps.
#pragma once

#include <atomic>
#include <memory>

#include "dataplane/stages/context.h"
#include "drivers/idle.h"

namespace sky::dataplane {

struct WorkerConfig {
  unsigned number;
  bool adaptive;
  std::vector<drivers::Port*> ports;  ///< [PortIndex]
  std::vector<uint16_t> ether_types;  ///< [PortIndex]
  drivers::Tun* tun;                  ///< nullptr on a node without; worker 0 reads it, all write
};

class Worker {
 public:
  /// `channels`: of every worker, its own under its number.
  static Result<std::unique_ptr<Worker>> create(const WorkerConfig& config, Tables& tables, Quiescence& quiescence,
                                                std::unique_ptr<AeadEngine> aead,
                                                std::span<WorkerChannel* const> channels);

  /// Runs until `stop`.
  void run(const std::atomic<bool>& stop) noexcept;
  /// One turn of the loop at `now_ns`; true when it found anything to do. run() is this and sleep.
  bool turn(uint64_t now_ns) noexcept;
  /// Plain IP packets go through here, data[length] as ingress() wants them; benchmarks call it with their own.
  void process_plain(Batch& batch) noexcept;
  /// Hands queued frames to the ports.
  void flush() noexcept;
  Context& context() { return context_; }
  /// Frees what waits: the worker has stopped.
  ~Worker();

 private:
  Worker(const WorkerConfig& config, Tables& tables, Quiescence& quiescence, std::unique_ptr<AeadEngine> aead,
         std::span<WorkerChannel* const> channels, drivers::Waiter waiter);
  Result<> watch_inputs(const WorkerConfig& config);

  bool poll_port(PortIndex port) noexcept;
  bool poll_others() noexcept;
  void process_opened(Batch& batch) noexcept;
  bool poll_tun() noexcept;
  void release() noexcept;
  bool keep_time() noexcept;
  void send(Batch& batch) noexcept;
  void sleep() noexcept;
  uint16_t queue_of(PortIndex port) const noexcept;
  bool has_packets() noexcept;
  void tell_polls(uint64_t emptied_ns) noexcept;

  std::unique_ptr<AeadEngine> aead_;
  Context context_;
  Quiescence& quiescence_;
  drivers::Waiter waiter_;
  bool adaptive_;
  bool all_inputs_wake_ = true;  ///< every input has a descriptor
  size_t first_port_ = 0;        ///< to be polled next turn
  uint64_t next_timer_ns_ = 0;
  uint64_t next_tun_poll_ns_ = 0;
  uint64_t worked_ns_ = 0;      ///< last turn with traffic
  uint64_t timed_version_ = 0;  ///< whose timers `next_timer_ns_` knows
  Batch batch_;
  Batch egress_;
  Batch copies_;
};

}  // namespace sky::dataplane
