// A transit router's traffic on one worker: its links and circuits, the frames that come by them, and the limit of what
// becomes of these. A node with several workers has one each, on ports of its own: nothing of two is shared but tables.
#pragma once

#include <memory>
#include <optional>
#include <random>
#include <span>
#include <vector>

#include "perf/loop/cases.h"
#include "perf/loop/neighbours.h"
#include "perf/loop/raw_aead.h"

namespace sky::perf {

/// What of a node is one worker's.
struct Lane {
  unsigned worker = 0;
  unsigned in_port = 0;
  unsigned out_port = 1;
  uint16_t first_link = 1;
  uint32_t first_rule = 0;  ///< index
};

/// A node that has room for it.
test::NodeConfig config_of(const ForwardSpec& spec);

class Forward {
 public:
  Forward(const ForwardSpec& spec, test::Node& node, const Lane& lane = {});

  Result<> verify();
  /// As Zipf has it, or all alike.
  void draw_by(bool zipf) { zipf_ = zipf; }
  void value(Samples& samples);
  void limit(Samples& samples);
  /// By which interfaces the library does its part of the limit best.
  std::string interfaces() const { return raw_open_.interface() + ", " + raw_seal_.interface(); }
  /// kBurst frames of circuits drawn at random, into empty buffers; only a chunk's newest ones, by their place `at` in
  /// it, can be checked or reckoned with afterwards.
  void make(std::span<rte_mbuf* const> buffers, unsigned at = 0);
  /// Every neighbour says that it hears.
  void ping();
  /// Largest of them.
  size_t most_bytes() const;

  dataplane::Worker& worker() { return node_.worker(lane_.worker); }
  test::MemoryPort& in_port() { return node_.port(lane_.in_port); }
  test::MemoryPort& out_port() { return node_.port(out_.empty() ? lane_.in_port : lane_.out_port); }
  void turn() { worker().turn(node_.now_ns()); }

 private:
  struct Circuit {
    unsigned in;   ///< of in_
    unsigned out;  ///< of out_
    uint32_t route;
    uint32_t next_route;
  };

  void install(const ForwardSpec& spec);
  const Circuit& draw();
  /// kChunk fresh frames into the port's receive ring.
  void fill();
  /// Up to the seal; what is left to be done, where there is a seal.
  std::optional<dataplane::AeadOp> write_frame(uint8_t* frame, const Circuit& circuit);
  /// The packet of the `number`th frame of all, and its size.
  size_t bytes_of(uint32_t number) const { return packet_bytes_[number % packet_bytes_.size()]; }
  test::Bytes packet_of(uint32_t number, uint32_t route) const;
  size_t frame_bytes(size_t packet_bytes) const {
    return sizeof(EthernetHeader) + packet_bytes + (kind_ == FrameKind::clear ? sizeof(LinkHeader) : kLinkOverhead);
  }
  Result<> check(const test::Bytes& frame, uint32_t number, const Circuit& circuit);
  /// Clocks a packet that open and seal alone take of the burst that macswap sent; `first`: number of the chunk's
  /// first.
  double raw_aead(uint32_t first, unsigned burst, bool& authentic);
  /// Fills in what seals towards the node, and what the node's own keys are.
  void take_keys();
  test::LinkPeer& out_of(const Circuit& circuit) { return out_.empty() ? in_[0] : out_[circuit.out]; }
  /// What each of the two AEAD passes has of that frame.
  size_t sealed_of(uint32_t number) const { return kind_ == FrameKind::header ? kHeaderSealed : bytes_of(number); }

  FrameKind kind_;
  std::vector<size_t> packet_bytes_;
  bool zipf_;
  test::Node& node_;
  Lane lane_;
  std::mt19937 random_{1};
  std::vector<test::LinkPeer> in_, out_;
  std::vector<test::Bytes> ethernet_;  ///< of frames from in_
  test::Bytes pattern_;
  std::vector<Circuit> circuits_;
  uint32_t sealed_ = 0;                     ///< frames so far
  std::vector<const Circuit*> travelling_;  ///< circuits of this chunk's frames
  /// Under copies of the node's receive keys frames are sealed, since that would bring the node's into the cache.
  std::vector<dataplane::KeySlot> copies_;
  std::vector<RawKey> opens_, seals_;  ///< the node's own: [Circuit.in], [Circuit.out]
  std::unique_ptr<dataplane::MbEngine> engine_ = *dataplane::MbEngine::create();
  RawPass raw_open_{&dataplane::AeadEngine::open}, raw_seal_{&dataplane::AeadEngine::seal};
};

}  // namespace sky::perf
