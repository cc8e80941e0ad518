// Plain IP packets through an edge router: from where a read of the TUN puts them to sealed frames.
#pragma once

#include <memory>
#include <optional>
#include <random>
#include <vector>

#include "dataplane/batch.h"
#include "perf/loop/edge.h"
#include "perf/loop/raw_aead.h"

namespace sky::perf {

class Ingress {
 public:
  Ingress(Edge& edge, const EdgeSpec& spec);

  Result<> verify();
  void value(Samples& samples);
  void limit(Samples& samples);
  /// By which interfaces the library does its part of the limit best.
  std::string interfaces() const { return raw_inner_.interface() + ", " + raw_outer_.interface(); }
  /// One burst, whose frames are taken away: its turn's clocks; nothing when a packet was lost.
  std::optional<uint64_t> pass_one();

 private:
  /// kBurst plain packets to targets drawn at random, where a read from the TUN would put them.
  void fill(unsigned burst);
  /// Of a whole chunk.
  void fill();
  /// A turn that finds the burst at the TUN: the clocks that it takes but for reading it.
  uint64_t turn(unsigned burst);
  /// Opens a frame as its receivers would: which packet of this chunk it carries.
  Result<unsigned> opened(const test::Bytes& frame);
  /// Clocks a packet of seals and look-ups alone.
  double raw(unsigned burst);

  Edge& edge_;
  FrameKind kind_;
  std::vector<size_t> packet_bytes_;
  std::mt19937_64 random_{1};
  uint32_t made_ = 0;  ///< packets so far
  dataplane::Batch batch_;
  std::vector<rte_mbuf*> buffers_;
  std::vector<IpPacket> packets_;  ///< that lie in them
  RawPass raw_inner_{&dataplane::AeadEngine::seal}, raw_outer_{&dataplane::AeadEngine::seal};
};

}  // namespace sky::perf
