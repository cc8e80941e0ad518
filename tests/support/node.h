// A whole dataplane in one process and one thread: tables, agent's batches, its workers in turn, memory ports, a TUN
// that is a socket pair, and a clock that stands still unless the test moves it. Frames go in and come out as bytes.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "dataplane/agent/check.h"
#include "dataplane/agent/references.h"
#include "dataplane/crypto/mb_engine.h"
#include "dataplane/tables/tables.h"
#include "dataplane/worker.h"
#include "dataplane/worker_channel.h"
#include "tests/support/change.h"
#include "tests/support/memory_port.h"
#include "tests/support/oracle.h"

namespace sky::test {

struct NodeConfig {
  unsigned ports = 3;
  unsigned workers = 1;             ///< port p belongs to worker p % workers
  std::vector<unsigned> by_lane{};  ///< ports of which each worker has a queue
  uint16_t mtu = 1500;
  unsigned ring_frames = 256;
  dataplane::KeyPolicy link_keys{};
  dataplane::KeyPolicy session_keys{};
  dataplane::Capacities capacities{.ports = 3,
                                   .links = 64,
                                   .sessions = 64,
                                   .rules = 1 << 12,
                                   .groups = 64,
                                   .destinations = 1024,
                                   .laboratory = true};
  /// What the destination map takes of each family, where it is not as many as there are destinations of both.
  std::optional<dataplane::DestinationSizes> map{};
  bool adaptive = false;
  bool hugepages = false;
  std::function<std::unique_ptr<dataplane::AeadEngine>()> engine{};  ///< of the worker; IPsec-MB when empty
  uint64_t start_ns = 1'000'000'000'000;                             ///< what its clock shows at first
  std::vector<drivers::Port*> wires{};                               ///< its first ports; the others are memory ports
};

class Node {
 public:
  explicit Node(NodeConfig config = {});
  /// Everything in flight must have come home: see expect_at_rest.
  ~Node();

  // Time.
  uint64_t now_ns() const { return now_ns_; }
  void pass(uint64_t ns) { now_ns_ += ns; }
  /// The main core's turn (1 us later), then the worker's.
  void turn();
  void main_turn();
  void worker_turn();  ///< each worker's, in their order
  /// Turns every `step_ns` until `ns` have passed.
  void run(uint64_t ns, uint64_t step_ns = 1'000'000);

  // Installs: one batch, checked and applied by the agent's code. The first is for those that must succeed.
  void install(const std::vector<InstallMessage>& messages);
  /// `settle`: as many turns more as it takes until the batch would be acked.
  std::expected<void, dataplane::Refusal> try_install(const std::vector<InstallMessage>& messages, bool settle = true);

  // In and out.
  MemoryPort& port(unsigned index) { return *ports_[index]; }  ///< of those that are
  unsigned ports() const { return static_cast<unsigned>(ports_.size()); }
  void tun_write(const Bytes& packet);  ///< a local program sends
  std::vector<Bytes> tun_read();        ///< what local programs received
  void inject(const ControlPacket& packet);
  std::vector<ControlPacket> punts();
  std::vector<InstallMessage> events();  ///< of worker and main core, in that order
  /// Frames into a port, one turn, frames out of all ports in their order.
  std::vector<Bytes> exchange(unsigned port, const std::vector<Bytes>& frames);

  // What happened.
  Change total() const;
  Change total(unsigned worker) const { return read_counts(tables->stats.worker(worker)); }
  /// Since the last call.
  Change change();
  /// GoogleTest expectations: the accounting equation holds and, all output taken, every buffer is back in its pool.
  void expect_at_rest();

  dataplane::Worker& worker(unsigned number = 0) { return *workers_[number]; }
  dataplane::Quiescence& quiescence() { return quiescence_; }
  dataplane::WorkerChannel& channel(unsigned worker = 0) { return *channels_[worker]; }
  std::span<dataplane::WorkerChannel* const> channels() const { return channel_pointers_; }
  std::unique_ptr<dataplane::Tables> tables;

 private:
  void make_ports(const NodeConfig& config);
  void make_workers(const NodeConfig& config);

  uint64_t now_ns_;
  dataplane::Quiescence quiescence_;
  std::unique_ptr<dataplane::MbEngine> key_engine_;
  std::vector<uint64_t> stats_page_;
  std::unique_ptr<dataplane::References> references_;
  std::vector<std::unique_ptr<dataplane::WorkerChannel>> channels_;
  std::vector<dataplane::WorkerChannel*> channel_pointers_;
  std::vector<std::unique_ptr<MemoryPort>> ports_;
  std::vector<drivers::Port*> all_ports_;
  std::unique_ptr<drivers::Tun> tun_;
  int tun_peer_ = -1;
  std::vector<std::unique_ptr<dataplane::Worker>> workers_;
  std::vector<InstallMessage> main_events_;
  Change seen_;
};

}  // namespace sky::test
