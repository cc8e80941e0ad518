#include "dataplane/crypto/key_ring.h"

#include <algorithm>

namespace sky::dataplane {
namespace {

/// How long after its first use a key stays at least: by then the receiver, who counts `hold_ns`
/// from the first frame it saw, has made room for the key after the next.
uint64_t least_use_ns(const KeyPolicy& policy) {
  return policy.hold_ns + policy.hold_ns / 2;
}

}  // namespace

KeyPolicy KeyPolicy::of_age(uint64_t age_ns, unsigned lanes) {
  KeyPolicy policy{.lanes = lanes, .age_ns = age_ns};
  policy.hold_ns = std::min(policy.hold_ns, age_ns / 2);
  return policy;
}

void SendUse::add(const SealCounter& lane, uint64_t generation) noexcept {
  frames = std::max(frames, lane.frames(generation));
  bytes = std::max(bytes, lane.bytes(generation));
}

bool ReceiveRing::put_chain(uint64_t key_id, unsigned parity, std::span<const uint8_t, kChainSecretBytes> secret,
                            Round round, Suite suite) {
  if (seen_.knows(key_id)) return false;
  seen_.remember(key_id);
  Lineage& lineage = lineages_[parity];
  if (lineage.held) keeper_.withdraw(lineage, round.now_ns);
  lineage.start(key_id, parity, suite, secret, round.now_ns);
  times_[parity] = {};
  newest_ = parity;
  keeper_.sweep(round.quiesced_ns);
  keeper_.fill(lineage);
  return true;
}

bool ReceiveRing::ready() const {
  const Lineage& newest = lineages_[newest_];
  return newest.held && newest.derived >= 2;
}

bool ReceiveRing::heard(uint64_t key_id) const {
  return newest_key_id() == key_id && times_[newest_].first_frame_ns.has_value();
}

std::optional<uint64_t> ReceiveRing::newest_key_id() const {
  if (!lineages_[newest_].held) return std::nullopt;
  return lineages_[newest_].key_id;
}

unsigned ReceiveRing::used_parity() const {
  const bool newest_unused = !times_[newest_].first_frame_ns.has_value();
  return newest_unused && lineages_[1 - newest_].held ? 1 - newest_ : newest_;
}

void ReceiveRing::tick(Round round) {
  keeper_.sweep(round.quiesced_ns);
  for (unsigned parity : {0u, 1u}) {
    if (lineages_[parity].held) follow(parity, round.now_ns);
  }
  const auto& first = times_[newest_].first_frame_ns;
  Lineage& older = lineages_[1 - newest_];
  if (older.held && first && round.now_ns - *first >= policy_.hold_ns) {
    keeper_.withdraw(older, round.now_ns);
  }
}

/// Notes what was heard under a chain and moves it one epoch on where that is due.
void ReceiveRing::follow(unsigned parity, uint64_t now_ns) {
  Lineage& lineage = lineages_[parity];
  Times& times = times_[parity];
  const bool next_seen = seen(lineage, lineage.step + 1);
  if (!times.first_frame_ns && (next_seen || seen(lineage, lineage.step))) {
    times.first_frame_ns = now_ns;
  }
  if (next_seen && !times.next_seen_ns) times.next_seen_ns = now_ns;
  if (times.next_seen_ns && now_ns - *times.next_seen_ns >= policy_.hold_ns) {
    keeper_.withdraw(lineage.slot(lineage.step), now_ns);
    ++lineage.step;
    times.next_seen_ns.reset();
  }
  keeper_.fill(lineage);
}

bool ReceiveRing::seen(const Lineage& lineage, uint32_t step) const {
  return step < lineage.derived && keys_.slots[lineage.slot(step)].seen.load(std::memory_order_relaxed);
}

void ReceiveRing::clear(uint64_t now_ns) {
  for (Lineage& lineage : lineages_) keeper_.withdraw(lineage, now_ns);
}

bool SendRing::put_chain(uint64_t key_id, unsigned parity, std::span<const uint8_t, kChainSecretBytes> secret,
                         bool wait_for_peer, Round round, Suite suite) {
  if (seen_.knows(key_id)) return false;
  seen_.remember(key_id);
  lineages_[1 - active_].start(key_id, parity, suite, secret, round.now_ns);
  waiting_ = wait_for_peer;
  if (!waiting_) promote(round);
  return true;
}

std::optional<uint64_t> SendRing::waits_for() const {
  if (!waiting_) return std::nullopt;
  return lineages_[1 - active_].key_id;
}

void SendRing::confirm(uint64_t key_id) {
  if (waits_for() == key_id) waiting_ = false;
}

std::optional<uint64_t> SendRing::current_key_id() const {
  if (!lineages_[active_].held) return std::nullopt;
  return lineages_[active_].key_id;
}

uint64_t SendRing::generation() const {
  const KeySlot* slot = keys_.now();
  return slot != nullptr ? slot->generation : 0;
}

uint64_t SendRing::chain_age_ns(uint64_t now_ns) const {
  return lineages_[active_].held ? now_ns - lineages_[active_].installed_ns : 0;
}

void SendRing::tick(Round round, const SendUse& use) {
  keeper_.sweep(round.quiesced_ns);
  if (lineages_[1 - active_].held && !waiting_) promote(round);
  Lineage& active = lineages_[active_];
  if (!active.held) return;
  if (chain_age_ns(round.now_ns) >= policy_.headless_ns) return stop(round.now_ns);
  keeper_.fill(active);
  if (!step_due(round.now_ns, use) || !keeper_.filled(active.slot(active.step + 1))) return;
  const unsigned old_slot = active.slot(active.step++);
  make_current(active.slot(active.step));
  keeper_.withdraw(old_slot, round.now_ns);
}

bool SendRing::step_due(uint64_t now_ns, const SendUse& use) {
  if (use.frames == 0) return false;
  if (!first_use_ns_) first_use_ns_ = now_ns;
  const uint64_t age_ns = now_ns - *first_use_ns_;
  if (!use.peer_hears || age_ns < least_use_ns(policy_)) return false;
  const bool worn = (use.worn >> keys_.current.load(std::memory_order_relaxed) & 1) != 0;
  return worn || age_ns >= policy_.age_ns || use.bytes >= policy_.step_bytes / policy_.lanes ||
         use.frames >= policy_.step_frames;
}

/// Makes the next chain the active one as soon as the slots of its parity are free.
void SendRing::promote(Round round) {
  Lineage& active = lineages_[active_];
  Lineage& next = lineages_[1 - active_];
  if (active.held && active.parity == next.parity) stop(round.now_ns);
  keeper_.sweep(round.quiesced_ns);
  if (!keeper_.free_for(next)) return;
  keeper_.fill(next);
  active_ = 1 - active_;
  make_current(next.slot(0));
  if (active.held) keeper_.withdraw(active, round.now_ns);
}

/// The one place where a key begins to be used. Keys are used in the order in which they were
/// derived (a next chain has none before its promotion), so generations rise from key to key.
void SendRing::make_current(unsigned index) {
  first_use_ns_.reset();
  ++begun_;
  keys_.current.store(static_cast<uint8_t>(index), std::memory_order_release);
}

void SendRing::stop(uint64_t now_ns) {
  keys_.current.store(SendKeys::kNone, std::memory_order_release);
  keeper_.withdraw(lineages_[active_], now_ns);
}

void SendRing::clear(uint64_t now_ns) {
  stop(now_ns);
  keeper_.withdraw(lineages_[1 - active_], now_ns);
  waiting_ = false;
}

void KeyRing::tick(Round round, const SendUse& use) {
  receive.tick(round);
  if (const auto id = send.waits_for(); id && receive.heard(*id)) send.confirm(*id);
  send.tick(round, use);
}

void KeyRing::clear(uint64_t now_ns) {
  receive.clear(now_ns);
  send.clear(now_ns);
}

}  // namespace sky::dataplane
