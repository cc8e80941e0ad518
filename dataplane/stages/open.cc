#include "dataplane/stages/open.h"

#include <cstring>

namespace sky::dataplane {

namespace {

struct LaneCounter {
  unsigned lane;
  uint64_t counter;
};

LaneCounter lane_counter(const LinkHeader& header) noexcept {
  const uint64_t both = header.lane_counter.get();
  return {static_cast<unsigned>(both >> 56), both & ((uint64_t{1} << 56) - 1)};
}

/// Of a lane that the peer was granted; nullptr else.
ReplayWindow<>* window_of(const Slot& slot, unsigned lane) noexcept {
  if (lane >= kMaxLanes) return nullptr;
  StreamWindows<>* windows = slot.link->windows[lane].load(std::memory_order_acquire);
  return windows == nullptr ? nullptr : &windows->of(slot_index(slot.key->epoch), slot.key->generation);
}

void count_received(Context& context, const Slot& slot) noexcept {
  LinkStats& stats = context.stats_of(*slot.link);
  stats.received.add(1);
  stats.received_bytes.add(slot.length);
}

/// True when there is something to open.
bool prepare(Context& context, Slot& slot, AeadOp& op) noexcept {
  const LinkHeader& header = link_header(slot.data);
  const FrameKind kind = kind_of(header);
  if (kind == FrameKind::clear) {
    count_received(context, slot);
    slot.verdict = Verdict::next;
    return false;
  }
  slot.key = slot.link->receive.for_link(header.epoch);
  if (slot.key == nullptr) {
    drop(slot, Drop::no_key);
    return false;
  }
  const auto [lane, counter] = lane_counter(header);
  const ReplayWindow<>* window = window_of(slot, lane);
  if (window == nullptr) {
    drop(slot, Drop::bad_lane);
    return false;
  }
  if (!window->may_accept(counter)) {
    context.stats_of(*slot.link).replays.add(1);
    drop(slot, Drop::replayed);
    return false;
  }
  op.key = &slot.key->key;
  op.suite = slot.key->suite;
  op.data = slot.data + kLinkOverhead;
  op.length = sealed_length(slot, kind);
  op.tag = link_tag(slot.data);
  op.associated = slot.data;
  op.associated_length = sizeof(LinkHeader);
  std::memcpy(op.nonce.data(), slot.key->salt.data(), sizeof(Salt));
  std::memcpy(op.nonce.data() + sizeof(Salt), &header.lane_counter, sizeof(header.lane_counter));
  return true;
}

void finish(Context& context, Slot& slot, const AeadOp& op) noexcept {
  Link& link = *slot.link;
  if (!op.authentic) {
    context.stats_of(link).bad_tags.add(1);
    link.workers[context.number].failed.add(*slot.key);
    return drop(slot, Drop::bad_tag);
  }
  const auto [lane, counter] = lane_counter(link_header(slot.data));
  if (!window_of(slot, lane)->test_and_set(counter)) {
    context.stats_of(link).replays.add(1);
    return drop(slot, Drop::replayed);
  }
  slot.key->mark_seen();
  link.liveness.heard(context.now_ns);
  count_received(context, slot);
  slot.verdict = Verdict::next;
}

}  // namespace

void open(Context& context, Batch& batch) noexcept {
  unsigned n = 0;
  for (Slot& slot : batch) {
    if (!prepare(context, slot, context.ops[n])) continue;
    context.op_slots[n++] = &slot;
  }
  context.aead.open({context.ops.data(), n});
  for (unsigned i = 0; i < n; ++i) finish(context, *context.op_slots[i], context.ops[i]);
}

}  // namespace sky::dataplane
