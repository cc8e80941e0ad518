#include "dataplane/stages/open.h"

#include "dataplane/stages/link_op.h"

namespace sky::dataplane {

namespace {

/// What is under way between a frame's two halves.
struct Opening {
  Slot* slot;
  LaneWindows<>* windows;
  uint64_t counter;
  unsigned key;  ///< its slot

  ReplayView window() const { return windows->view(key); }
};

void count_received(Context& context, const Slot& slot) noexcept {
  LinkStats& stats = context.stats_of(*slot.link);
  stats.received.add(1);
  stats.received_bytes.add(slot.length);
}

bool refuse_replay(Context& context, Slot& slot) noexcept {
  context.stats_of(*slot.link).replays.add(1);
  return refuse(slot, Drop::replayed);
}

/// True when there is something to open.
bool prepare(Context& context, Slot& slot, Opening& opening, AeadOp& op) noexcept {
  uint8_t* const data = slot.data;
  const LinkHeader& header = link_header(data);
  const FrameKind kind = kind_of(header);
  if (kind == FrameKind::clear) {
    count_received(context, slot);
    slot.verdict = Verdict::next;
    return false;
  }
  Link& link = *slot.link;
  const unsigned index = slot_index(header.epoch);
  KeySlot& key = link.receive.slots[index];
  if (!key.live.load(std::memory_order_acquire) || key.epoch != header.epoch) [[unlikely]]
    return refuse(slot, Drop::no_key);
  const Be64 word = header.lane_counter;
  const unsigned lane = static_cast<unsigned>(word.get() >> 56);
  const uint64_t counter = word.get() & ((uint64_t{1} << 56) - 1);
  // nullptr where the peer was granted no such lane.
  LaneWindows<>* windows = lane < kMaxLanes ? link.lanes[lane].windows.load(std::memory_order_acquire) : nullptr;
  if (windows == nullptr) [[unlikely]]
    return refuse(slot, Drop::bad_lane);
  if (!windows->of(index, key.generation).may_accept(counter)) [[unlikely]]
    return refuse_replay(context, slot);
  slot.key = &key;
  opening = {&slot, windows, counter, index};
  make_link_op(key, data, sealed_length(slot, kind), word, op);
  return true;
}

void finish(Context& context, const Opening& opening, bool authentic) noexcept {
  Slot& slot = *opening.slot;
  if (!authentic) [[unlikely]] {
    context.stats_of(*slot.link).bad_tags.add(1);
    slot.link->lanes[context.number].worker->failed.add(*slot.key);
    return drop(slot, Drop::bad_tag);
  }
  if (!opening.window().test_and_set(opening.counter)) [[unlikely]] {
    refuse_replay(context, slot);
    return;
  }
  slot.key->mark_seen();
  opening.windows->slots[opening.key].heard_ns.store(context.now_ns, std::memory_order_relaxed);
  count_received(context, slot);
  slot.verdict = Verdict::next;
}

}  // namespace

void open(Context& context, Batch& batch) noexcept {
  std::array<Opening, kBurst> openings;
  unsigned n = 0;
  for (Slot& slot : batch) n += prepare(context, slot, openings[n], context.ops[n]);
  if (n == 0) return;
  context.aead.open({context.ops.data(), n});
  for (unsigned i = 0; i < n; ++i) finish(context, openings[i], context.ops[i].authentic);
}

}  // namespace sky::dataplane
