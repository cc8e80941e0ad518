// A router and its two neighbours over real ports: the worker's loop on a core of its own, between two of them, and on
// the other core, over the other ends of the cables, a generator that seals valid frames towards one and counts what
// comes out of the other. The generator's core is the router's main core too.
#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <random>
#include <vector>

#include "dataplane/crypto/mb_engine.h"
#include "perf/ndr/search.h"
#include "tests/support/node.h"

namespace sky::perf {

struct RigConfig {
  std::array<std::string, 2> ports;       ///< devices of the router: frames come by the first, leave by the second
  std::array<std::string, 2> generators;  ///< what they are wired to, in that order
  FrameKind kind = FrameKind::header;
  size_t packet_bytes = 64;
  uint16_t mtu = 1500;
  std::array<uint16_t, 2> cpus;  ///< of generator and worker
  bool hugepages = false;
};

class Rig {
 public:
  /// Starts DPDK, the router and its worker, and waits until both links are up and a burst came through as it should.
  static Result<std::unique_ptr<Rig>> create(const RigConfig& config);
  ~Rig();
  Rig(const Rig&) = delete;
  Rig& operator=(const Rig&) = delete;

  Trial measure(double rate, double seconds);

 private:
  struct Opened {
    std::array<std::unique_ptr<drivers::Port>, 2> ports, generators;
  };
  Rig(const RigConfig& config, Opened opened);

  void install();
  Result<> prove();
  /// What is sealed anew, in buffers of the generator's port; fewer when these are all out.
  unsigned make(std::span<rte_mbuf*> frames);
  /// Frames of ours that came back; where `seen` is given also as bytes.
  unsigned receive(std::vector<test::Bytes>* seen = nullptr);
  void settle();
  /// What main core and neighbours do beside: keys, grace, and a ping by each link.
  void keep(uint64_t now_ns);
  size_t frame_bytes() const;

  const RigConfig config_;
  Opened opened_;
  test::Node node_;
  std::unique_ptr<dataplane::MbEngine> engine_;
  test::LinkPeer left_{1, 101, 1}, right_{2, 102, 2};
  std::mt19937 random_{1};
  std::vector<uint32_t> routes_;  ///< of the circuits
  test::Bytes ethernet_, packet_;
  std::atomic<bool> stop_ = false;
  uint64_t next_turn_ns_ = 0, next_ping_ns_ = 0;
};

}  // namespace sky::perf
