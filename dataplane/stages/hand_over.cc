#include "dataplane/stages/hand_over.h"

#include "drivers/idle.h"

namespace sky::dataplane {

void hand_over(Context& context, unsigned worker, Slot& slot) noexcept {
  const auto* buffer = static_cast<const uint8_t*>(slot.mbuf->buf_addr);
  const HandedPacket packet{.mbuf = slot.mbuf,
                            .offset = static_cast<uint32_t>(slot.data - buffer),
                            .length = slot.length,
                            .link = slot.link->index};
  if (!context.channels[worker]->handed[context.number]->producer.push(packet)) return drop(slot, Drop::worker_full);
  context.count(Counter::handed_over);
  context.to_wake |= 1u << worker;
  slot.verdict = Verdict::handed;
}

void take_over(Context& context, Batch& batch) noexcept {
  HandedPacket packet;
  for (const auto& from : context.channel.handed) {
    while (!batch.full() && from->consumer.pop(packet)) {
      Slot& slot = batch.add();
      slot = {};
      slot.mbuf = packet.mbuf;
      slot.data = static_cast<uint8_t*>(packet.mbuf->buf_addr) + packet.offset;
      slot.length = packet.length;
      // By index: the link may be gone since.
      slot.link = context.tables.links.find(to_underlying(packet.link));
      slot.link == nullptr ? drop(slot, Drop::unknown_link) : void(slot.verdict = Verdict::next);
    }
  }
  context.count(Counter::taken_over, batch.count);
}

void wake_others(Context& context) noexcept {
  if (context.to_wake == 0) return;
  // Between the push and this look; its counterpart stands between `asleep` and the look into the rings.
  std::atomic_thread_fence(std::memory_order_seq_cst);
  for (unsigned worker = 0; worker < context.channels.size(); ++worker) {
    if ((context.to_wake >> worker & 1) == 0) continue;
    const WorkerChannel& channel = *context.channels[worker];
    if (channel.asleep.load(std::memory_order_relaxed)) drivers::signal_event(channel.wake_worker);
  }
  context.to_wake = 0;
}

}  // namespace sky::dataplane
