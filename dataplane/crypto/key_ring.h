// The main core's side of a link's or session's keys: which chains stand, when to step and when to
// wipe. Pure state machines: time, use and quiescence come in as parameters; all calls come from
// the main core.
//
// Receiving, a chain holds epochs e and e+1. `hold_ns` after the first authentic frame of e+1, e is
// withdrawn and e+2 derived in its place; `hold_ns` after the first authentic frame of a new chain
// the old one goes. Sending, the next epoch is derived ahead and a step is one store; a chain may
// wait until the peer was heard under the receive chain of the same key ID. A withdrawn key is
// wiped, and its slot filled again, only when every worker was quiescent since, so none ever reads
// a key that is being written. A key ID seen before, by any ring of that memory, is refused.
//
// Cost: put_chain and a step a few microseconds, a tick without a change a few loads; no
// allocation but for the memory of key IDs. Source: docs/protocol.md, "Keys".
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>

#include "dataplane/crypto/aead.h"
#include "dataplane/crypto/key_id_memory.h"
#include "dataplane/crypto/key_slot.h"
#include "dataplane/crypto/slot_keeper.h"

namespace sky::dataplane {

/// When keys step. A receiver can follow as long as its peer's `age_ns` is at least 1.5 times its
/// own `hold_ns`.
struct KeyPolicy {
  uint64_t step_bytes = uint64_t{1} << 38;    ///< of a key, shared out over lanes
  uint64_t stop_bytes = uint64_t{1} << 39;    ///< the same: it stops hard, though nobody hears a step
  uint64_t step_frames = uint64_t{1} << 47;   ///< of one lane or stream: half of a stream's counters
  unsigned lanes = 1;                         ///< that may seal under one key
  uint64_t failed_tags = uint64_t{1} << 30;   ///< under a receive key, until the peer is asked to step
  uint64_t age_ns = 120'000'000'000;          ///< of use
  uint64_t hold_ns = 2'000'000'000;           ///< an old key stays so long after the first frame of its successor
  uint64_t headless_ns = 86'400'000'000'000;  ///< sending stops under a chain that nobody renewed for so long

  /// Epochs of that age, and a hold that two ends with the same age can follow.
  static KeyPolicy of_age(uint64_t age_ns, unsigned lanes);
  SealLimits seal_limits(uint64_t counters) const { return {.frames = counters, .bytes = stop_bytes / lanes}; }
};

/// One round of the main core's loop: all its calls carry the same `now_ns`, later than the round
/// before. After the end of round `quiesced_ns` every worker has been quiescent (or offline) at
/// least once.
struct Round {
  uint64_t now_ns;
  uint64_t quiesced_ns;
};

/// What the busiest lane sealed under the current key.
struct SendUse {
  uint64_t frames = 0;
  uint64_t bytes = 0;
  bool peer_hears = true;  ///< the link is live towards the peer: a step that nobody hears would lose it for good

  uint8_t worn = 0;  ///< slots whose keys the peer wants replaced

  void add(const SealCounter& lane, uint64_t generation) noexcept;
};

class ReceiveRing {
 public:
  ReceiveRing(ReceiveKeys& keys, const AeadEngine& engine, const KeyPolicy& policy, KeyIdMemory& seen)
      : keys_(keys), keeper_(keys.slots, engine), policy_(policy), seen_(seen) {}

  /// Replaces the chain of that parity. False when the key ID was seen before; nothing changes
  /// then.
  [[nodiscard]] bool put_chain(uint64_t key_id, unsigned parity, std::span<const uint8_t, kChainSecretBytes> secret,
                               Round round, Suite suite = Suite::aes_256_gcm);
  /// The newest chain's keys are in place: the peer may use them. At once after put_chain, unless
  /// it replaced a chain of its parity, whose slots need a quiescence first.
  bool ready() const;
  /// An authentic frame came under the newest chain, if it has that key ID: the peer holds the
  /// keys.
  bool heard(uint64_t key_id) const;
  std::optional<uint64_t> newest_key_id() const;
  /// The parity of the chain that the peer is known to use: the next chain takes the other one.
  unsigned used_parity() const;
  void tick(Round round);
  /// Withdraws all; after a few rounds of ticks it is empty() and may be destroyed under running
  /// workers.
  void clear(uint64_t now_ns);
  bool empty() const { return keeper_.all_empty(); }
  void listen(KeyListener listener) { keeper_.listen(std::move(listener)); }

 private:
  bool seen(const Lineage& lineage, uint32_t step) const;
  void follow(unsigned parity, uint64_t now_ns);

  struct Times {
    std::optional<uint64_t> first_frame_ns;  ///< of the chain
    std::optional<uint64_t> next_seen_ns;    ///< of epoch step + 1
  };

  ReceiveKeys& keys_;
  SlotKeeper keeper_;
  const KeyPolicy& policy_;
  std::array<Lineage, 2> lineages_;  ///< by parity
  std::array<Times, 2> times_;
  unsigned newest_ = 0;
  KeyIdMemory& seen_;
};

class SendRing {
 public:
  SendRing(SendKeys& keys, const AeadEngine& engine, const KeyPolicy& policy, KeyIdMemory& seen)
      : keys_(keys), keeper_(keys.slots, engine), policy_(policy), seen_(seen) {}

  /// The chain becomes current at once, or with `wait_for_peer` on confirm(); it replaces one that
  /// still waits. Where it has the current chain's parity (the peer lost its state), sending pauses
  /// for one quiescence. False when the key ID was seen before; nothing changes then.
  [[nodiscard]] bool put_chain(uint64_t key_id, unsigned parity, std::span<const uint8_t, kChainSecretBytes> secret,
                               bool wait_for_peer, Round round, Suite suite = Suite::aes_256_gcm);
  /// The key ID of the chain that waits for its peer.
  std::optional<uint64_t> waits_for() const;
  /// The peer was heard under that chain: it becomes current with the next tick.
  void confirm(uint64_t key_id);
  std::optional<uint64_t> current_key_id() const;
  unsigned current_parity() const { return lineages_[active_].parity; }
  /// Of the current key, 0 when there is none: what SendUse::add asks for.
  uint64_t generation() const;
  /// Keys that began to be used since this was asked last.
  unsigned take_begun() { return std::exchange(begun_, 0); }
  /// How long ago the current chain was put; past 120 s of use a handshake is due, later than that
  /// an alarm.
  uint64_t chain_age_ns(uint64_t now_ns) const;
  void tick(Round round, const SendUse& use);
  void clear(uint64_t now_ns);
  bool empty() const { return keeper_.all_empty(); }
  void listen(KeyListener listener) { keeper_.listen(std::move(listener)); }

 private:
  void promote(Round round);
  void make_current(unsigned index);
  bool step_due(uint64_t now_ns, const SendUse& use);
  void stop(uint64_t now_ns);

  SendKeys& keys_;
  SlotKeeper keeper_;
  const KeyPolicy& policy_;
  std::array<Lineage, 2> lineages_;  ///< the active one and the next, which has no slots yet
  unsigned active_ = 0;
  bool waiting_ = false;                  ///< the next one waits for its peer
  std::optional<uint64_t> first_use_ns_;  ///< of the current key
  unsigned begun_ = 0;
  KeyIdMemory& seen_;
};

/// Both directions of a link or session; the tables that workers read and the memory of key IDs
/// belong to the caller and outlive it.
struct KeyRing {
  ReceiveRing receive;
  SendRing send;

  KeyRing(ReceiveKeys& receive_keys, SendKeys& send_keys, const AeadEngine& engine, const KeyPolicy& policy,
          KeyIdMemories& seen)
      : receive(receive_keys, engine, policy, seen.receive), send(send_keys, engine, policy, seen.send) {}

  void tick(Round round, const SendUse& use);
  void clear(uint64_t now_ns);
  bool empty() const { return receive.empty() && send.empty(); }
};

}  // namespace sky::dataplane
