#include "dataplane/agent/agent.h"

#include <sodium.h>

#include <utility>

#include "dataplane/agent/apply.h"
#include "dataplane/agent/values.h"
#include "dataplane/base/log.h"
#include "dataplane/protocol/doorbell.h"
#include "dataplane/protocol/frame.h"
#include "drivers/idle.h"

namespace sky::dataplane {
namespace {

constexpr uint64_t kSettleNs = 100'000;   ///< workers become quiescent within microseconds, or sleep
constexpr uint64_t kRetryNs = 1'000'000;  ///< nobody tells when the other side made room
constexpr uint32_t kMissReserve = kEventSlots / 4;
constexpr uint64_t kMalformedPerLog = 1'024;

}  // namespace

Agent::Agent(Endpoint& endpoint, uint64_t boot_id, Stats stats, TableView& view, Applier& applier, const Dumper& dumper,
             std::span<WorkerChannel* const> channels, Hooks hooks)
    : endpoint_(endpoint),
      boot_id_(boot_id),
      stats_(stats),
      view_(view),
      applier_(applier),
      dumper_(dumper),
      channels_(channels),
      hooks_(std::move(hooks)),
      references_(view.capacities()),
      watcher_(channels, hooks_.retire),
      pushed_down_(channels.size()) {
  take_punts(false);
}

void Agent::turn(uint64_t now_ns) {
  patience_ns_ = kForeverNs;
  const Endpoint::Change change = endpoint_.turn(now_ns);
  if (change == Endpoint::Change::attached) attached();
  if (change == Endpoint::Change::detached) detached();
  take_events();
  take_packets();
  if (Attachment* owner = endpoint_.owner()) {
    lower_packets();
    take_installs();
    if (owner->broken()) {
      log_warning("the control plane broke a ring: it is sent away");
      endpoint_.drop_owner();
      detached();
    }
  }
  lift_records();
  ring_doorbells();
  stats_.header().heartbeat_ns.set(now_ns);
}

void Agent::attached() {
  stats_.header().attachments.add(1);
  take_punts(true);
  log_info("control plane attached");
}

void Agent::detached() {
  batch_.wipe();
  open_ = false;
  spoilt_ = InstallError::none;
  generation_ = 0;
  settling_ = false;
  dump_.reset();
  stalled_.reset();
  late_events_.clear();
  lifted_.clear();
  watcher_.stop();
  take_punts(false);
  log_info("control plane gone; forwarding goes on");
}

// --- installs

void Agent::take_installs() {
  Attachment& owner = *endpoint_.owner();
  if (settling_) {
    if (!applier_.settled()) return wake_within(kSettleNs);
    settling_ = false;
    ack(InstallError::none, 0, generation_);
  }
  InstallMessage message;
  for (unsigned taken = 0; taken < kMessagesPerTurn; ++taken) {
    if (dump_) continue_dump();
    // Whatever comes next may need an answer.
    if (dump_ || owner.acks.free_slots() == 0) return wake_within(kRetryNs);
    if (settling_) return wake_within(0);
    if (!owner.install.pop(message)) return;
    take(message);
    sodium_memzero(&message, sizeof(message));
  }
  wake_within(0);
}

void Agent::take(const InstallMessage& message) {
  switch (message.verb) {
    case Verb::begin:
      return begin(message.as<BeginMessage>());
    case Verb::commit:
      return commit(message.as<CommitMessage>());
    case Verb::dump:
      if (!open_) {
        const auto ask = message.as<DumpMessage>();
        dump_ = Dump{.table = ask.table, .from = ask.from, .left = ask.most, .rows = 0};
        return;
      }
      break;
    case Verb::watch:
      if (!open_) return watch(message.as<WatchMessage>());
      break;
    default:
      break;
  }
  if (open_) return batch_.add(message);
  ack(InstallError::no_batch, 0, generation_);
}

void Agent::watch(const WatchMessage& message) {
  watcher_.ask(message, check_watch(message, view_.capacities()));
}

void Agent::begin(const BeginMessage& message) {
  // A batch that never came to its commit.
  if (open_) ack(InstallError::count_mismatch, batch_.count(), generation_);
  batch_.wipe();
  open_ = true;
  spoilt_ = InstallError::none;
  if (message.boot_id != boot_id_) {
    spoilt_ = InstallError::wrong_boot_id;
  } else if (message.fence != endpoint_.owner()->fence()) {
    spoilt_ = InstallError::wrong_fence;
  } else if (message.generation <= generation_) {
    spoilt_ = InstallError::bad_value;
  }
  generation_ = message.generation;
}

void Agent::commit(const CommitMessage& message) {
  if (!open_) return ack(InstallError::no_batch, 0, message.generation);
  open_ = false;
  if (spoilt_ == InstallError::none && batch_.count() > kMaxBatch) spoilt_ = InstallError::batch_too_long;
  if (spoilt_ == InstallError::none && (message.count != batch_.count() || message.generation != generation_)) {
    spoilt_ = InstallError::count_mismatch;
  }
  std::optional<Refusal> refusal;
  if (spoilt_ != InstallError::none) {
    refusal = Refusal{0, spoilt_};
  } else {
    refusal = settle();
  }
  batch_.wipe();
  stats_.header().batches.add(1);
  if (refusal) {
    stats_.header().batches_refused.add(1);
    return ack(refusal->error, refusal->index, generation_);
  }
  // The peer may use a new key as soon as it is told, so the ack waits until the key is in its slot.
  settling_ = !applier_.settled();
  if (!settling_) ack(InstallError::none, 0, generation_);
}

/// Checks and applies the batch whole, or says why not.
std::optional<Refusal> Agent::settle() {
  const auto plan = check(batch_.messages(), view_, references_);
  if (!plan) return plan.error();
  const auto applied = apply(batch_.messages(), *plan, view_, applier_, references_);
  return applied ? std::nullopt : std::optional(applied.error());
}

void Agent::ack(InstallError error, uint32_t index, uint64_t generation) {
  endpoint_.owner()->acks.push(
      InstallMessage::of(AckMessage{.error = error, .index = index, .generation = generation}));
  pushed_up_ = true;
}

void Agent::continue_dump() {
  Attachment& owner = *endpoint_.owner();
  const uint32_t room = owner.acks.free_slots();
  if (room < 2) return;
  // The last slot is for the end.
  uint32_t paced = std::min({room - 1, kRowsPerTurn, dump_->left});
  bool more = true;
  InstallMessage row;
  for (; more && paced > 0; --paced) {
    const auto next = dumper_.dump(dump_->table, dump_->from, row);
    more = next.has_value();
    if (!more) break;
    owner.acks.push(row);
    dump_->from = *next;
    --dump_->left;
    ++dump_->rows;
  }
  pushed_up_ = true;
  if (more && dump_->left > 0) return;
  const uint32_t next = more ? dump_->from : 0;
  owner.acks.push(InstallMessage::of(DumpEndMessage{.table = dump_->table, .rows = dump_->rows, .next = next}));
  dump_.reset();
}

// --- events

void Agent::take_events() {
  push_late_events();
  InstallMessage event;
  for (WorkerChannel* channel : channels_) {
    unsigned left = kEventsPerTurn;
    for (; left > 0 && channel->events.consumer.pop(event); --left) {
      // Neighbours hear of a lost link whether or not the control plane listens.
      if (event.verb == Verb::link_state) hooks_.link_state(event.as<LinkStateEvent>());
      tell(event);
    }
    if (left == 0) wake_within(0);
  }
}

void Agent::tell(const InstallMessage& event) {
  if (endpoint_.owner() == nullptr) return;
  // Behind what waits, so that nothing older comes after it.
  if (late_events_.empty() && push_event(event)) return;
  late_events_.keep(event);
}

/// True when the event is done with: pushed, or of no use.
bool Agent::push_event(const InstallMessage& event) {
  Attachment& owner = *endpoint_.owner();
  const uint32_t room = owner.events.free_slots();
  // A packet that found no circuit is told again by the next one; what happened to links is told once.
  if (event.verb == Verb::miss && room <= kMissReserve) return true;
  if (room == 0) return false;
  owner.events.push(event);
  pushed_up_ = true;
  return true;
}

void Agent::push_late_events() {
  while (!late_events_.empty() && push_event(late_events_.front())) late_events_.pop_front();
}

void Agent::report(std::vector<InstallMessage>& events) {
  for (const InstallMessage& event : events) tell(event);
  events.clear();
  if (!late_events_.empty()) wake_within(kRetryNs);
  lift_packets();
  ring_doorbells();
}

// --- control packets

void Agent::take_packets() {
  Attachment* owner = endpoint_.owner();
  ControlPacket packet;
  for (WorkerChannel* channel : channels_) {
    // A neighbour fills a ring as fast as it is emptied: what comes meanwhile waits for the next turn.
    unsigned left = kPacketsPerTurn;
    for (; left > 0 && channel->up.consumer.pop(packet); --left) {
      if (is_dead_routes(packet)) {
        hooks_.dead_routes(packet);
      } else if (owner != nullptr) {
        lifted_.push_back(packet);
        if (lifted_.size() > owner->packets_up.free_slots()) take_punts(false);
      }
    }
    if (left == 0) wake_within(0);
  }
}

/// A packet that confirmed a chain may be the first that the control plane must open: it comes after the event.
void Agent::lift_packets() {
  Attachment* owner = endpoint_.owner();
  if (owner == nullptr) return;
  while (late_events_.empty() && !lifted_.empty() && owner->packets_up.push(lifted_.front())) {
    lifted_.pop_front();
    pushed_up_ = true;
  }
  take_punts(lifted_.empty());
  if (!lifted_.empty()) wake_within(kRetryNs);
}

void Agent::lift_records() {
  Attachment* owner = endpoint_.owner();
  pushed_up_ |= watcher_.turn(owner == nullptr ? nullptr : &owner->seen);
  if (watcher_.waits()) wake_within(kRetryNs);
}

void Agent::take_punts(bool taken) {
  for (WorkerChannel* channel : channels_) channel->takes_punts.store(taken, std::memory_order_relaxed);
}

void Agent::lower_packets() {
  Attachment& owner = *endpoint_.owner();
  ControlPacket packet;
  for (unsigned taken = 0; taken <= kPacketSlots; ++taken) {
    if (stalled_ && !lower(*stalled_)) return wake_within(kRetryNs);
    stalled_.reset();
    if (!owner.packets_down.pop(packet)) return;
    if (is_well_formed(packet)) {
      stalled_ = packet;
    } else if (malformed_++ % kMalformedPerLog == 0) {
      log_warning("{} malformed control packets from the control plane so far", malformed_);
    }
  }
  wake_within(0);
}

bool Agent::lower(const ControlPacket& packet) {
  // A handshake has no link yet.
  const unsigned worker =
      packet.kind == SlotKind::handshake ? view_.hears(packet.port, packet.mac) : view_.owner(packet.link);
  if (!channels_[worker]->down.producer.push(packet)) return false;
  pushed_down_[worker] = true;
  return true;
}

bool Agent::is_well_formed(const ControlPacket& packet) const {
  if (packet.length > packet.payload.size()) return false;
  switch (packet.kind) {
    case SlotKind::handshake:
      return to_underlying(packet.port) < view_.capacities().ports &&
             packet.header[0] == version_kind(FrameKind::handshake);
    case SlotKind::link_packet:
      return view_.has_link(packet.link);
    case SlotKind::route_packet:
      return view_.has_link(packet.link) && packet.route != kControlRoute && packet.hop_limit != 0 &&
             is_treatment(packet.treatment);
  }
  return false;
}

void Agent::ring_doorbells() {
  if (Attachment* owner = endpoint_.owner(); owner != nullptr && std::exchange(pushed_up_, false)) {
    ring_doorbell(owner->doorbell_up);
  }
  for (unsigned worker = 0; worker < channels_.size(); ++worker) {
    if (!pushed_down_[worker]) continue;
    pushed_down_[worker] = false;
    drivers::signal_event(channels_[worker]->wake_worker);
  }
}

}  // namespace sky::dataplane
