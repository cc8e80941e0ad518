#include "dataplane/stages/probes.h"

#include <algorithm>
#include <cstring>

#include "dataplane/stages/hand_over.h"
#include "dataplane/stages/make.h"
#include "dataplane/stages/punt.h"

namespace sky::dataplane {

namespace {

constexpr uint64_t kIdleAfterNs = 10'000'000'000;
constexpr unsigned kIdleFactor = 20;
constexpr unsigned kAnswersToLive = 3;
constexpr uint64_t kFirstAnswerNs = 1'000'000'000;  // while nothing is known of the round trip

/// Until the ring took it: nobody asks a second time.
void tell(Context& context, Group& group, unsigned slot) noexcept {
  MemberLife& life = group.lives[slot];
  const bool live = life.live.load(std::memory_order_relaxed);
  const MemberStateEvent event{.slot = static_cast<uint8_t>(slot),
                               .live = static_cast<uint8_t>(live),
                               .group = group.index,
                               .rtt_us = static_cast<uint32_t>(life.rtt_ns / 1'000)};
  life.untold = !context.channel.events.producer.push(InstallMessage::of(event));
  context.wake_main = true;
}

void change(Context& context, Group& group, unsigned slot, bool live) noexcept {
  group.lives[slot].live.store(live, std::memory_order_relaxed);
  tell(context, group, slot);
}

/// Another circuit in the slot: it was just set up, so it lives until probes say otherwise.
void start_life(Context& context, Group& group, unsigned slot, const Member& member) noexcept {
  MemberLife& life = group.lives[slot];
  life.circuit = member.put.circuit;
  life.answered = 0;
  life.lost = 0;
  life.probed_ns = 0;
  life.waiting_since_ns = 0;
  life.next_probe_ns = context.now_ns;
  life.rtt_ns = 0;
  change(context, group, slot, true);
}

void send_probe(Context& context, Group& group, unsigned slot, const Member& member, Batch& batch) noexcept {
  const FirstHop hop = first_hop(member);
  Slot* probe = make_packet(context, batch, *hop.link, PacketType::ping, hop.route, sizeof(ProbePayload),
                            Counter::injected_probe);
  if (probe == nullptr) return;
  const ProbePayload payload{Be64(context.now_ns), Be64(uint64_t{to_underlying(group.index)} * kMaxMembers + slot)};
  std::memcpy(packet_payload(probe->data), &payload, sizeof(payload));
  probe->hop_limit = member.put.hop_limit;
  probe->treatment = member.put.treatment;
  context.stats_of(group, slot).probes_sent.add(1);
}

/// An answer may take as long as two of the last ones did, whatever the interval: a long path is no dead one.
bool is_overdue(const MemberLife& life, uint64_t interval_ns, uint64_t now_ns) noexcept {
  const uint64_t patience_ns = life.rtt_ns == 0 ? kFirstAnswerNs : std::max(interval_ns, 2 * life.rtt_ns);
  return life.waiting_since_ns != 0 && now_ns - life.waiting_since_ns >= patience_ns;
}

/// The first probe that waits had its time and no answer came.
void lose_probe(Context& context, Group& group, unsigned slot, unsigned most) noexcept {
  MemberLife& life = group.lives[slot];
  life.answered = 0;
  context.stats_of(group, slot).probes_lost.add(1);
  if (++life.lost < most || !life.live.load(std::memory_order_relaxed)) return;
  context.stats_of(group, slot).deaths.add(1);
  change(context, group, slot, false);
}

}  // namespace

void answer_ping(Context& context, RuleHead rule, Slot& slot) noexcept {
  PacketHeader& packet = packet_header(slot.data);
  if (packet.size.get() != sizeof(ProbePayload)) return drop(slot, Drop::bad_control);
  Link* back = slot.link;
  if (!back->usable()) return drop(slot, Drop::link_down);
  // One packet ends here and another starts in its buffer.
  context.count(Counter::delivered_local);
  context.count(Counter::injected_probe);
  packet.type = static_cast<uint8_t>(PacketType::pong);
  packet.route_id = Be32(to_underlying(context.tables.rules.view().back(rule.route_id).twin));
  slot.link = back;
  slot.hop_limit = 64;
  slot.treatment = rule.treatment;
  slot.verdict = Verdict::next;
}

void take_pong(Context& context, RouteId consume, Slot& slot) noexcept {
  ProbePayload payload;
  if (packet_header(slot.data).size.get() != sizeof(payload)) return drop(slot, Drop::bad_control);
  std::memcpy(&payload, packet_payload(slot.data), sizeof(payload));
  if ((payload.asker.get() & kControlPlanePing) != 0) return punt_packet(context, SlotKind::route_packet, slot);

  const uint64_t index = payload.asker.get() / kMaxMembers;
  Group* group = index <= UINT32_MAX ? context.tables.groups.find(static_cast<uint32_t>(index)) : nullptr;
  const unsigned member = payload.asker.get() % kMaxMembers;
  if (group == nullptr) return drop(slot, Drop::bad_control);
  const GroupView& view = *group->view.load(std::memory_order_acquire);
  if (!view.has(member) || !ends_at(view.members[member].put, consume)) return drop(slot, Drop::bad_control);
  const unsigned owner = view.members[member].link->owner();
  if (owner != context.number) return hand_over(context, owner, slot);
  // By the clock of the turn that sent it: this one's began later.
  if (payload.sent_ns.get() > context.now_ns) return drop(slot, Drop::bad_control);
  MemberLife& life = group->lives[member];
  life.lost = 0;
  life.waiting_since_ns = 0;
  life.rtt_ns = std::max<uint64_t>(context.now_ns - payload.sent_ns.get(), 1);
  context.stats_of(*group, member).rtt_ns.set(life.rtt_ns);
  // Who answers also follows the steps of the session's keys, though it may send nothing else.
  view.members[member].session->heard_ns.store(context.now_ns, std::memory_order_relaxed);
  if (++life.answered >= kAnswersToLive && !life.live) change(context, *group, member, true);
  slot.verdict = Verdict::consumed;
}

uint64_t probe_group(Context& context, Group& group, Batch& batch) noexcept {
  const GroupView& view = *group.view.load(std::memory_order_acquire);
  uint64_t used_ns = 0;
  for (const GroupWorker& worker : group.workers)
    used_ns = std::max(used_ns, worker.used_ns.load(std::memory_order_relaxed));
  const bool idle = used_ns + kIdleAfterNs < context.now_ns;
  const uint64_t full_ns = uint64_t{view.put.probe_interval_us} * 1'000;
  const uint64_t interval_ns = context.timer_budget.stretched(full_ns * (idle ? kIdleFactor : 1));
  uint64_t next = idle ? context.now_ns + full_ns : UINT64_MAX;  // it may wake up
  for (unsigned slot = 0; slot < kMaxMembers; ++slot) {
    if (!view.has(slot)) continue;
    const Member& member = view.members[slot];
    if (member.link->owner() != context.number) continue;
    MemberLife& life = group.lives[slot];
    if (life.circuit != member.put.circuit) start_life(context, group, slot, member);
    // A group that wakes up is probed at its full rate at once.
    const uint64_t due = std::min(life.next_probe_ns, life.probed_ns + interval_ns);
    if (due <= context.now_ns && !batch.full()) {
      if (is_overdue(life, interval_ns, context.now_ns)) lose_probe(context, group, slot, view.put.probe_multiplier);
      send_probe(context, group, slot, member, batch);
      if (life.waiting_since_ns == 0) life.waiting_since_ns = context.now_ns;
      life.probed_ns = context.now_ns;
      life.next_probe_ns = context.now_ns + interval_ns;
    }
    if (life.untold) tell(context, group, slot);
    next = std::min({next, life.next_probe_ns, life.probed_ns + interval_ns});
  }
  return next;
}

}  // namespace sky::dataplane
