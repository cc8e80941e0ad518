#include "dataplane/stages/transmit.h"

namespace sky::dataplane {

namespace {

void flush_port(Context& context, size_t index) noexcept {
  PortOutput& output = context.outputs[index];
  drivers::Port& port = *context.ports[index];
  PortStats& stats = context.stats_of(PortIndex{static_cast<uint16_t>(index)});
  const auto queue = static_cast<uint16_t>(context.number);
  for (unsigned level = 0; level < kQueues; ++level) {
    rte_mbuf** frames = output.frames[level].data();
    const uint16_t count = std::exchange(output.count[level], uint16_t{0});
    if (count == 0) continue;
    uint64_t bytes = 0;
    for (unsigned i = 0; i < count; ++i) bytes += rte_pktmbuf_pkt_len(frames[i]);
    const uint16_t sent = port.tx_burst(queue, frames, count);
    for (unsigned i = sent; i < count; ++i) {
      bytes -= rte_pktmbuf_pkt_len(frames[i]);
      context.count(Drop::port_full);
      rte_pktmbuf_free(frames[i]);
    }
    stats.full.add(count - sent);
    stats.transmitted.add(sent);
    stats.transmitted_bytes.add(bytes);
    context.count(Counter::transmitted, sent);
  }
}

}  // namespace

void queue_frame(Context& context, uint16_t port, unsigned level, rte_mbuf* frame) noexcept {
  PortOutput& output = context.outputs[port];
  if (output.count[level] == PortOutput::kFrames) flush_port(context, port);
  output.frames[level][output.count[level]++] = frame;
}

void transmit(Context& context, Batch& batch) noexcept {
  for (const Slot& slot : batch) {
    rte_mbuf* mbuf = slot.mbuf;
    mbuf->data_off = static_cast<uint16_t>(slot.data - sizeof(EthernetHeader) - static_cast<uint8_t*>(mbuf->buf_addr));
    mbuf->data_len = static_cast<uint16_t>(slot.length + sizeof(EthernetHeader));
    mbuf->pkt_len = mbuf->data_len;
    LinkStats& stats = context.stats_of(*slot.link);
    stats.transmitted.add(1);
    stats.transmitted_bytes.add(slot.length);

    const auto port = to_underlying(slot.link->config.load(std::memory_order_acquire)->put.port);
    queue_frame(context, port, std::min<unsigned>(slot.treatment & 3, kQueues - 1), mbuf);
  }
  batch.count = 0;
}

void flush(Context& context) noexcept {
  for (size_t port = 0; port < context.outputs.size(); ++port) flush_port(context, port);
}

}  // namespace sky::dataplane
