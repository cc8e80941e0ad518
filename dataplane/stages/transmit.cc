#include "dataplane/stages/transmit.h"

#include <algorithm>

#include "dataplane/stages/observe.h"

namespace sky::dataplane {

namespace {

/// Up to what the port takes of one queue; how many are left.
uint16_t flush_queue(Context& context, drivers::Port& port, QueueStats& stats, PortOutput& output,
                     unsigned level) noexcept {
  rte_mbuf** frames = output.frames[level].data();
  const uint16_t count = output.count[level];
  const uint16_t sent = count == 0 ? uint16_t{0} : port.tx_burst(static_cast<uint16_t>(context.number), frames, count);
  if (sent == 0) return count;
  uint64_t bytes = 0;
  for (unsigned i = 0; i < sent; ++i) bytes += rte_pktmbuf_pkt_len(frames[i]);
  std::copy(frames + sent, frames + count, frames);
  stats.transmitted.add(sent);
  stats.transmitted_bytes.add(bytes);
  context.count(Counter::transmitted, sent);
  return output.count[level] = static_cast<uint16_t>(count - sent);
}

/// The frames of a queue that the port did not take are ahead of all in the queues behind it.
void flush_port(Context& context, size_t index) noexcept {
  PortOutput& output = context.outputs[index];
  PortStats& stats = context.stats_of(PortIndex{static_cast<uint16_t>(index)});
  StatsWord& queued = context.stats.counters[static_cast<size_t>(Counter::queued)];
  for (unsigned level = 0, left = 0; level < kQueues; ++level) {
    if (left == 0) left = flush_queue(context, *context.ports[index], stats.queues[level], output, level);
    output.refused |= left != 0;
    if (output.waiting[level] == output.count[level]) continue;
    queued.set(queued.get() - output.waiting[level] + output.count[level]);
    output.waiting[level] = output.count[level];
    stats.queues[level].queued.set(output.count[level]);
  }
}

}  // namespace

void queue_late(Context& context, uint16_t port, unsigned level, rte_mbuf* frame) noexcept {
  PortOutput& output = context.outputs[port];
  if (!output.refused) flush_port(context, port);
  if (output.count[level] == PortOutput::kFrames) {
    context.stats_of(PortIndex{port}).full.add(1);
    context.count(Drop::port_full);
    if (context.watch != nullptr) [[unlikely]]
      observe_refused(context, PortIndex{port}, frame);
    return rte_pktmbuf_free(frame);
  }
  output.frames[level][output.count[level]++] = frame;
}

void transmit(Context& context, Batch& batch) noexcept {
  if (context.watch != nullptr) [[unlikely]]
    observe(context, batch, Stage::transmit);
  for (const Slot& slot : batch) {
    rte_mbuf* mbuf = slot.mbuf;
    mbuf->data_off = static_cast<uint16_t>(slot.data - sizeof(EthernetHeader) - static_cast<uint8_t*>(mbuf->buf_addr));
    mbuf->data_len = static_cast<uint16_t>(slot.length + sizeof(EthernetHeader));
    mbuf->pkt_len = mbuf->data_len;
    LinkStats& stats = context.stats_of(*slot.link);
    stats.transmitted.add(1);
    stats.transmitted_bytes.add(slot.length);
    queue_frame(context, slot.port, to_underlying(queue_of(slot.treatment)), mbuf);
  }
  context.stage_clock.lap(context.stats, Stage::transmit, batch.count);
  batch.count = 0;
}

void flush(Context& context) noexcept {
  for (size_t port = 0; port < context.outputs.size(); ++port) {
    if (context.outputs[port].idle()) continue;
    flush_port(context, port);
    context.outputs[port].refused = false;
  }
}

bool any_waiting(const Context& context) noexcept {
  return context.stats.counters[static_cast<size_t>(Counter::queued)].get() != 0;
}

}  // namespace sky::dataplane
