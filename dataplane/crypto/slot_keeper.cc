#include "dataplane/crypto/slot_keeper.h"

#include <sodium.h>

#include <algorithm>
#include <atomic>

namespace sky::dataplane {
namespace {

std::atomic<uint64_t> last_generation = 0;

}  // namespace

void Lineage::start(uint64_t id, unsigned its_parity, Suite its_suite,
                    std::span<const uint8_t, kChainSecretBytes> secret, uint64_t now_ns) noexcept {
  chain.start(secret);
  key_id = id;
  installed_ns = now_ns;
  parity = its_parity;
  suite = its_suite;
  step = 0;
  derived = 0;
  held = true;
}

SlotKeeper::~SlotKeeper() {
  for (unsigned index = 0; index < kKeySlots; ++index) wipe(index);
}

bool SlotKeeper::all_empty() const {
  return std::ranges::all_of(state_, [](State state) { return state == State::empty; });
}

bool SlotKeeper::free_for(const Lineage& lineage) const {
  return state_[lineage.slot(0)] == State::empty && state_[lineage.slot(1)] == State::empty;
}

void SlotKeeper::fill(Lineage& lineage) noexcept {
  while (lineage.derived <= lineage.step + 1) {
    const unsigned index = lineage.slot(lineage.derived);
    if (state_[index] != State::empty) return;
    KeySlot& slot = slots_[index];
    const EpochKey epoch = lineage.chain.next();
    engine_.expand(lineage.suite, epoch.key, slot.key);
    slot.suite = lineage.suite;
    slot.salt = epoch.salt;
    if (listener_) {
      listener_({epoch, lineage.suite, link_epoch(lineage.parity, lineage.derived), static_cast<uint8_t>(index)});
    }
    slot.epoch = link_epoch(lineage.parity, lineage.derived++);
    slot.generation = last_generation.fetch_add(1, std::memory_order_relaxed) + 1;
    state_[index] = State::filled;
    slot.live.store(true, std::memory_order_release);
  }
}

void SlotKeeper::withdraw(unsigned index, uint64_t now_ns) noexcept {
  if (state_[index] != State::filled) return;
  slots_[index].live.store(false, std::memory_order_release);
  state_[index] = State::withdrawn;
  withdrawn_ns_[index] = now_ns;
}

void SlotKeeper::withdraw(Lineage& lineage, uint64_t now_ns) noexcept {
  withdraw(lineage.slot(0), now_ns);
  withdraw(lineage.slot(1), now_ns);
  lineage.chain.wipe();
  lineage.held = false;
}

void SlotKeeper::sweep(uint64_t quiesced_ns) noexcept {
  for (unsigned index = 0; index < kKeySlots; ++index) {
    if (state_[index] == State::withdrawn && withdrawn_ns_[index] <= quiesced_ns) wipe(index);
  }
}

void SlotKeeper::wipe(unsigned index) noexcept {
  KeySlot& slot = slots_[index];
  slot.live.store(false, std::memory_order_release);
  sodium_memzero(&slot.key, sizeof slot.key);
  sodium_memzero(slot.salt.data(), slot.salt.size());
  slot.seen.store(false, std::memory_order_relaxed);
  slot.generation = 0;
  state_[index] = State::empty;
}

}  // namespace sky::dataplane
