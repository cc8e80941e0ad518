// The first look at a frame.
#include <benchmark/benchmark.h>
#include <rte_mbuf.h>

#include <array>
#include <map>

#include "dataplane/stages/classify.h"
#include "perf/loop/neighbours.h"

namespace sky::perf {
namespace {

using dataplane::kBurst;

/// A node with four links, and a burst of frames that came by them.
struct Frames {
  test::Node node{kNode};
  std::vector<test::LinkPeer> peers = add_neighbours(node, {.first = 1, .count = 4, .port = 0});
  std::array<rte_mbuf*, kBurst> buffers;

  Frames() {
    for (unsigned i = 0; i < kBurst; ++i) {
      const test::Bytes frame = peers[i % 4].seal(test::packet(17, 1, test::pattern(57)));
      buffers[i] = rte_pktmbuf_alloc(node.port(0).pool());
      std::ranges::copy(frame, rte_pktmbuf_append(buffers[i], static_cast<uint16_t>(frame.size())));
    }
  }
  ~Frames() { rte_pktmbuf_free_bulk(buffers.data(), kBurst); }
};

void frame_by_classify(benchmark::State& state) {
  Frames frames;
  dataplane::Batch batch;
  for (auto _ : state) {
    batch.count = 0;
    dataplane::classify(frames.node.worker().context(), PortIndex{0}, frames.buffers, batch);
    benchmark::DoNotOptimize(batch);
  }
  state.SetItemsProcessed(state.iterations() * batch.count);
}

/// Field by field out of the bytes, and the link out of a map by what it is called.
void frame_by_fields(benchmark::State& state) {
  Frames frames;
  std::map<uint32_t, const test::LinkPeer*> links;
  for (const test::LinkPeer& peer : frames.peers) links[peer.link] = &peer;
  for (auto _ : state) {
    for (rte_mbuf* buffer : frames.buffers) {
      const std::span bytes(rte_pktmbuf_mtod(buffer, const uint8_t*), buffer->data_len);
      const test::Header header = test::read_header(bytes.subspan(sizeof(EthernetHeader)));
      benchmark::DoNotOptimize(links.find(header.link_index)->second);
    }
  }
  state.SetItemsProcessed(state.iterations() * kBurst);
}

BENCHMARK(frame_by_classify);
BENCHMARK(frame_by_fields);

}  // namespace
}  // namespace sky::perf
