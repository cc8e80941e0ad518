#include "dataplane/stages/hold.h"

#include <algorithm>
#include <span>
#include <utility>

#include "dataplane/stages/observe.h"

namespace sky::dataplane {

namespace {

constexpr uint64_t kHoldNs = 1'000'000'000;
constexpr uint64_t kMissGapNs = 200'000'000;

static_assert(kMaxHeld <= kBurst, "what was held leaves as one burst, in order");

StatsWord& gauge(Context& context) noexcept {
  return context.stats.counters[static_cast<size_t>(Counter::held)];
}

void tell_miss(Context& context, Group& group) noexcept {
  GroupWorker& mine = group.workers[context.number];
  if (mine.missed_ns + kMissGapNs > context.now_ns) return;
  // Misses come again; what happened to links and members does not, and finds room.
  auto& events = context.channel.events.producer;
  if (events.free_slots() < WorkerChannel::kEvents / 4) return;
  mine.missed_ns = context.now_ns;
  events.push(InstallMessage::of(MissEvent{.group = group.index}));
  context.wake_main = true;
}

/// Where packets of that group wait, or nullptr when no more groups may be waited for.
HeldPackets* find_or_add(Context& context, GroupIndex group) noexcept {
  const auto found = std::ranges::find(context.held, group, &HeldPackets::group);
  if (found != context.held.end()) return &*found;
  if (context.held.size() == kMaxHeldGroups) return nullptr;
  HeldPackets& fresh = context.held.emplace_back();
  fresh.group = group;
  fresh.since_ns = context.now_ns;
  return &fresh;
}

bool any_live(const Group& group) noexcept {
  const GroupView& view = *group.view.load(std::memory_order_acquire);
  for (unsigned slot = 0; slot < kMaxMembers; ++slot) {
    if (group.live(view, slot)) return true;
  }
  return false;
}

}  // namespace

void hold(Context& context, Group& group, Slot& slot) noexcept {
  tell_miss(context, group);
  if (gauge(context).get() >= kMaxHeldInAll) return drop(slot, Drop::hold_full);
  HeldPackets* waiting = find_or_add(context, group.index);
  if (waiting == nullptr || waiting->count == kMaxHeld) return drop(slot, Drop::hold_full);
  slot.mbuf->data_off = static_cast<uint16_t>(slot.data - static_cast<uint8_t*>(slot.mbuf->buf_addr));
  slot.mbuf->data_len = slot.length;
  waiting->packets[waiting->count++] = slot.mbuf;
  gauge(context).add(1);
  slot.verdict = Verdict::held;
}

bool release(Context& context, HeldPackets& waiting, Batch& batch) noexcept {
  Group* group = context.tables.groups.find(to_underlying(waiting.group));
  const bool ready = group == nullptr || any_live(*group);
  const bool late = waiting.since_ns + kHoldNs < context.now_ns;
  if (!ready && !late) {
    tell_miss(context, *group);
    return false;
  }
  gauge(context).set(gauge(context).get() - waiting.count);
  for (rte_mbuf* mbuf : std::span(waiting.packets).first(std::exchange(waiting.count, 0u))) {
    if (!ready) {
      context.count(Drop::hold_expired);
      if (context.watch != nullptr) [[unlikely]]
        observe_expired(context, mbuf);
      rte_pktmbuf_free(mbuf);
      continue;
    }
    Slot& slot = batch.add();
    slot = {};
    slot.mbuf = mbuf;
    slot.data = rte_pktmbuf_mtod(mbuf, uint8_t*);
    slot.length = mbuf->data_len;
  }
  return true;
}

}  // namespace sky::dataplane
