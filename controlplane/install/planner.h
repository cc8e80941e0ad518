// Planner: from the rows that the control plane wants to the batches that bring them about. It knows what it wants and
// what stands (by dumps and acks), and sends the difference, one batch at a time; what changes meanwhile goes with the
// next. So the state after any loss, refusal or restart is put right by the same comparison.
//
//   wanted --put, erase--> to put, to delete --next_batch--> in flight --acked--> stands
//                              ^------------ refused: all but the culprit ----------+
//
// A row found standing that nobody wants is an orphan: it is left alone for a grace, then deleted. A key chain is no
// row: it goes out once, and is lost with the attachment. Memory: two rows of 64 bytes and their keys for each object.
// Source: docs/protocol.md, "Contract".
#pragma once

#include <map>
#include <optional>
#include <set>
#include <utility>
#include <variant>
#include <vector>

#include "controlplane/core/events.h"
#include "controlplane/install/row.h"

namespace sky::controlplane {

/// Who waits until all that was put before stands.
struct CircuitInstalled {
  CircuitId circuit;
  auto operator<=>(const CircuitInstalled&) const = default;
};
struct KeysInstalled {
  KeyOwner owner;
  uint32_t index;
  uint64_t key_id;
  auto operator<=>(const KeysInstalled&) const = default;
};
using Waiter = std::variant<CircuitInstalled, KeysInstalled>;

/// A message that the dataplane does not take; a put waits for the next attachment. Without the secret of a chain.
struct RefusedMessage {
  InstallMessage message;
  InstallError error;
};

const char* name_of(InstallError error);

class Planner {
 public:
  static constexpr size_t kMostInBatch = 2048;  ///< what a turn of the control plane makes and copies without a pause

  explicit Planner(uint64_t grace_ns) : grace_ns_(grace_ns) {}
  Planner(const Planner&) = delete;
  Planner& operator=(const Planner&) = delete;
  ~Planner();

  template <typename Row>
  void put(const Row& row) {
    want(InstallMessage::of(row));
  }
  void erase(const RowKey& key);
  /// Goes with the next batch; the link or session it is for is wanted.
  void put_chain(const KeyChainMessage& chain);
  /// Each is told once, however often it is asked for meanwhile.
  void notify(const Waiter& waiter) {
    if (asked_.insert(waiter).second) waiting_.push_back(waiter);
  }

  /// What stands now, after the adopted rows were put.
  void attach(const std::vector<InstallMessage>& rows, TimeNs now);
  void detach();
  std::vector<RefusedMessage> acked(const Acked& ack);

  /// Orphans have no grace: something that is wanted needs their place.
  void evict_orphans();
  /// Lets go of orphans whose grace is over.
  void tick(TimeNs now);
  TimeNs next_deadline() const;
  /// The next batch if one is due and none is on its way.
  std::optional<Install> next_batch();
  /// Those whose rows stand, after acked() or a next_batch() that found nothing to do.
  std::vector<Waiter> take_done();
  /// Rules that were wanted or found once and stand no more: their route IDs may rest.
  std::vector<RouteId> take_gone() { return std::exchange(gone_, {}); }

  /// Wanted, standing, or not known to be gone.
  bool knows(const RowKey& key) const {
    return wanted_.contains(key) || stands_.contains(key) || to_delete_.contains(key);
  }
  bool attached() const { return attached_; }
  bool in_flight() const { return in_flight_.has_value(); }
  uint64_t generation() const { return generation_; }
  size_t refused() const { return refused_.size(); }  ///< rows, by this dataplane
  /// The attachment itself is wrong: nothing more is sent on it.
  bool stalled() const { return stalled_; }
  size_t rows() const { return wanted_.size(); }
  size_t pending() const { return to_put_.size() + to_delete_.size(); }
  size_t orphans() const { return orphans_.size(); }

 private:
  struct Batch {
    uint64_t generation;
    std::vector<InstallMessage> messages;
    std::vector<Waiter> waiters;
  };

  void want(const InstallMessage& row);
  void compare(const RowKey& key);
  bool nothing_to_do() const { return to_put_.empty() && to_delete_.empty(); }
  std::vector<Waiter> take_waiting();
  void unwant(const RowKey& key, const InstallMessage& row);
  void add_puts(std::vector<InstallMessage>& messages);
  void add_deletes(std::vector<InstallMessage>& messages);
  void settle(const InstallMessage& message);
  void note_gone(const RowKey& key);
  void retry(const InstallMessage& message);
  void drop_chains(const RowKey& owner);
  static std::optional<RowKey> deleted_key(const InstallMessage& message);
  static void wipe(std::vector<InstallMessage>& messages);

  uint64_t grace_ns_;
  std::map<RowKey, InstallMessage> wanted_;
  std::map<RowKey, InstallMessage> stands_;
  std::map<RowKey, InstallMessage> refused_;  ///< wanted, and not taken by this dataplane: for the next attachment
  std::set<RowKey> to_put_, to_delete_;       ///< to be compared with what stands: those that are wanted, the others
  std::map<RowKey, TimeNs> orphans_;          ///< until when each is left alone
  std::vector<InstallMessage> chains_;
  std::vector<Waiter> waiting_;  ///< in the order they came
  std::set<Waiter> asked_;       ///< the same
  std::vector<Waiter> done_;
  std::set<RowKey> rules_;  ///< wanted, standing or on the way
  std::vector<RouteId> gone_;
  std::optional<Batch> in_flight_;
  bool attached_ = false;
  bool stalled_ = false;  ///< the attachment itself is wrong: until the next one
  uint64_t generation_ = 0;
};

}  // namespace sky::controlplane
