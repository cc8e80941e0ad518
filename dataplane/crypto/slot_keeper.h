// The main core's hand on four key slots, the same in both directions, and what it remembers of a
// chain. A slot goes empty > filled > withdrawn > empty; the last step wipes it, and waits until
// every worker was quiescent since the one before. Source: docs/protocol.md, "Keys".
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>

#include "dataplane/crypto/aead.h"
#include "dataplane/crypto/key_chain.h"
#include "dataplane/crypto/key_log.h"
#include "dataplane/crypto/key_slot.h"

namespace sky::dataplane {

/// One chain. Epochs 0 to `derived - 1` were derived so far; of these `step` and `step + 1` stand
/// in slots.
struct Lineage {
  KeyChain chain;
  uint64_t key_id = 0;
  uint64_t installed_ns = 0;
  unsigned parity = 0;
  Suite suite{};
  uint32_t step = 0;
  uint32_t derived = 0;
  bool held = false;

  unsigned slot(uint32_t of_step) const { return slot_index(parity, of_step); }
  void start(uint64_t id, unsigned its_parity, Suite its_suite, std::span<const uint8_t, kChainSecretBytes> secret,
             uint64_t now_ns) noexcept;
};

class SlotKeeper {
 public:
  SlotKeeper(std::array<KeySlot, kKeySlots>& slots, const AeadEngine& engine) : slots_(slots), engine_(engine) {}
  SlotKeeper(const SlotKeeper&) = delete;
  SlotKeeper& operator=(const SlotKeeper&) = delete;
  /// Wipes every slot: no worker may look any more.
  ~SlotKeeper();

  /// Hears of each key from now on.
  void listen(KeyListener listener) { listener_ = std::move(listener); }

  bool filled(unsigned index) const { return state_[index] == State::filled; }
  bool all_empty() const;
  /// Both slots of that chain's parity are free for it.
  bool free_for(const Lineage& lineage) const;
  /// Derives what is missing of epochs `step` and `step + 1` into their slots, as far as these are
  /// empty.
  void fill(Lineage& lineage) noexcept;
  /// Only for a slot that is not current (any more).
  void withdraw(unsigned index, uint64_t now_ns) noexcept;
  /// Ends a chain: withdraws its slots, wipes its secret.
  void withdraw(Lineage& lineage, uint64_t now_ns) noexcept;
  /// Wipes what was withdrawn in round `quiesced_ns` or before.
  void sweep(uint64_t quiesced_ns) noexcept;

 private:
  enum class State : uint8_t { empty, filled, withdrawn };
  void wipe(unsigned index) noexcept;

  std::array<KeySlot, kKeySlots>& slots_;
  const AeadEngine& engine_;
  KeyListener listener_;  ///< none outside of laboratories
  std::array<State, kKeySlots> state_{};
  std::array<uint64_t, kKeySlots> withdrawn_ns_{};
};

}  // namespace sky::dataplane
