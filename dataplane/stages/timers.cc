#include "dataplane/stages/timers.h"

#include <algorithm>
#include <cstring>

#include "dataplane/stages/make.h"
#include "dataplane/stages/probes.h"

namespace sky::dataplane {

namespace {

void send_ping(Context& context, Link& link, const LivenessConfig& liveness, uint64_t polled_empty_ns,
               Batch& batch) noexcept {
  LivenessPayload ping = link.liveness.make(liveness, context.now_ns, polled_empty_ns);
  ping.flags |= static_cast<uint8_t>(link.worn_keys(context.tables.config().link_keys.failed_tags) << 4);
  if (link.send.now() == nullptr) return;
  Slot* slot = make_packet(context, batch, link, PacketType::transport_ping, kControlRoute, sizeof(ping),
                           Counter::injected_probe);
  if (slot != nullptr) std::memcpy(packet_payload(slot->data), &ping, sizeof(ping));
}

void change(Context& context, Link& link, bool up) noexcept {
  link.links_up.set(link.index, up);
  context.stats_of(link).up.set(up ? 1 : 0);
  if (!up) context.stats_of(link).flaps.add(1);
}

/// Until the ring took it: nobody asks a second time.
void tell(Context& context, Link& link) noexcept {
  const bool up = link.usable();
  if (up == link.told_up) return;
  const LinkStateEvent event{.up = static_cast<uint8_t>(up), .link = link.index, .at_ns = context.now_ns};
  if (!context.channel.events.producer.push(InstallMessage::of(event))) return;
  link.told_up = up;
  context.wake_main = true;
}

uint64_t tend_link(Context& context, Link& link, Batch& batch) noexcept {
  const LinkConfig& config = *link.config.load(std::memory_order_acquire);
  const uint64_t polled_empty = context.tables.polls.emptied_ns(config.put.port, context.now_ns);
  LivenessConfig liveness = config.liveness;
  liveness.interval_ns = context.timer_budget.stretched(liveness.interval_ns);
  link.liveness.heard(link.heard_ns());
  link.liveness.judge(liveness, context.now_ns, polled_empty);
  if (link.liveness.up() != link.usable()) change(context, link, link.liveness.up());
  tell(context, link);
  link.peer_hears.store(link.liveness.peer_hears(), std::memory_order_relaxed);
  context.stats_of(link).rtt_ns.set(link.liveness.rtt_ns());
  context.stats_of(link).heard_ns.set(link.liveness.heard_ns());
  if (link.liveness.send_due(context.now_ns) && !batch.full()) send_ping(context, link, liveness, polled_empty, batch);
  return link.liveness.next_deadline_ns(liveness);
}

/// Goes on with a walk where it stands; `tend` does what is due for one and returns its next deadline.
template <typename Object, typename Tend>
void walk(Context& context, TimerWalk& its, const IndexTable<Object>& objects, uint32_t end, const Batch& batch,
          Tend tend) noexcept {
  if (context.now_ns < its.due_ns) return;
  const bool paced = end > kMostTended && context.clock != nullptr;
  const uint64_t start_ns = paced ? context.clock() : 0;
  const auto go_on_after = [&] {
    return context.now_ns + 1 + (paced ? std::min((context.clock() - start_ns) * TimerBudget::kParts, kMostRestNs) : 0);
  };
  if (its.at == 0) its.next_ns = context.now_ns + kMaxTimerGapNs;
  for (unsigned tended = 0; its.at < end; ++tended, ++its.at) {
    if (tended == kMostTended || batch.full()) {
      its.due_ns = go_on_after();
      return;
    }
    if (Object* object = objects.find(its.at)) its.next_ns = std::min(its.next_ns, tend(*object));
  }
  its.at = 0;
  its.due_ns = std::max(its.next_ns, go_on_after());
}

}  // namespace

uint64_t run_timers(Context& context, Batch& batch) noexcept {
  const Tables& tables = context.tables;
  walk(context, context.link_walk, tables.links, tables.timed.links.load(std::memory_order_relaxed), batch,
       [&](Link& link) { return link.owner() == context.number ? tend_link(context, link, batch) : UINT64_MAX; });
  walk(context, context.group_walk, tables.groups, tables.timed.groups.load(std::memory_order_relaxed), batch,
       [&](Group& group) { return probe_group(context, group, batch); });
  return std::min(context.link_walk.due_ns, context.group_walk.due_ns);
}

void restart_timers(Context& context) noexcept {
  for (TimerWalk* each : {&context.link_walk, &context.group_walk}) {
    if (each->at == 0)
      each->due_ns = 0;
    else
      each->next_ns = 0;  // those that were passed are asked again, once the walk under way is over
  }
}

}  // namespace sky::dataplane
