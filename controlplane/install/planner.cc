#include "controlplane/install/planner.h"

#include <sodium.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>
#include <iterator>
#include <ranges>

namespace sky::controlplane {
namespace {

/// The batch as a whole was wrong, not one of its messages.
bool is_of_attachment(InstallError error) {
  return error == InstallError::no_batch || error == InstallError::batch_too_long ||
         error == InstallError::count_mismatch || error == InstallError::wrong_boot_id ||
         error == InstallError::wrong_fence;
}

/// Reads what lies before the secret, which is not to be copied.
bool is_of(const InstallMessage& message, const RowKey& owner) {
  KeyChainMessage chain;
  std::memcpy(static_cast<void*>(&chain), &message, offsetof(KeyChainMessage, secret));
  const KeyOwner kind = owner.table == Table::links ? KeyOwner::link : KeyOwner::session;
  return chain.owner == kind && chain.index == owner.low;
}

}  // namespace

const char* name_of(InstallError error) {
  static constexpr std::array kNames{"none",           "unknown verb",       "no batch",    "batch too long",
                                     "count mismatch", "wrong boot ID",      "wrong fence", "bad index",
                                     "bad value",      "missing dependency", "still used",  "key seen before",
                                     "occupied",       "not found",          "table full"};
  const auto index = static_cast<size_t>(error);
  return index < kNames.size() ? kNames[index] : "unknown error";
}

Planner::~Planner() {
  wipe(chains_);
  if (in_flight_) wipe(in_flight_->messages);
}

void Planner::wipe(std::vector<InstallMessage>& messages) {
  sodium_memzero(messages.data(), messages.size() * sizeof(InstallMessage));
  messages.clear();
}

void Planner::want(const InstallMessage& row) {
  const InstallMessage plain = without_state(row);
  const RowKey key = key_of(plain).value();
  wanted_.insert_or_assign(key, plain);
  refused_.erase(key);
  compare(key);
  orphans_.erase(key);
  if (key.table == Table::rules) rules_.insert(key);
}

/// With the next batch that has room for it: what is wanted with what stands.
void Planner::compare(const RowKey& key) {
  const bool wanted = wanted_.contains(key);
  (wanted ? to_put_ : to_delete_).insert(key);
  (wanted ? to_delete_ : to_put_).erase(key);
}

void Planner::erase(const RowKey& key) {
  refused_.erase(key);
  if (wanted_.erase(key) == 0) return;
  compare(key);
  if (key.table == Table::links || key.table == Table::sessions) drop_chains(key);
}

/// Chains of a link or session that goes: without it their batch would be refused whole.
void Planner::drop_chains(const RowKey& owner) {
  if (std::ranges::none_of(chains_, [&](const InstallMessage& chain) { return is_of(chain, owner); })) return;
  std::vector<InstallMessage> kept;
  kept.reserve(chains_.size());
  std::ranges::copy_if(chains_, std::back_inserter(kept), [&](const auto& chain) { return !is_of(chain, owner); });
  wipe(chains_);
  chains_ = std::move(kept);
}

void Planner::put_chain(const KeyChainMessage& chain) {
  if (chains_.size() == chains_.capacity()) {  // a vector that grows leaves its old memory behind unwiped
    std::vector<InstallMessage> larger;
    larger.reserve(std::max<size_t>(16, 2 * chains_.size()));
    larger.assign(chains_.begin(), chains_.end());
    wipe(chains_);
    chains_ = std::move(larger);
  }
  chains_.push_back(InstallMessage::of(chain));
}

void Planner::attach(const std::vector<InstallMessage>& rows, TimeNs now) {
  detach();
  attached_ = true;
  stands_.clear();
  orphans_.clear();
  to_put_.clear();
  to_delete_.clear();
  wanted_.merge(refused_);  // another dataplane, or another day: it may take them now
  refused_.clear();
  for (const InstallMessage& row : rows) {
    if (const auto key = key_of(row)) stands_.insert_or_assign(*key, without_state(row));
  }
  for (const auto& key : stands_ | std::views::keys) {
    if (!wanted_.contains(key)) orphans_.emplace(key, now + grace_ns_);
    if (key.table == Table::rules) rules_.insert(key);
  }
  for (const auto& key : wanted_ | std::views::keys) to_put_.insert(to_put_.end(), key);
  for (const RowKey& key : std::set(rules_)) note_gone(key);
}

void Planner::detach() {
  attached_ = stalled_ = false;
  wipe(chains_);
  if (in_flight_) {
    wipe(in_flight_->messages);
    std::ranges::for_each(in_flight_->waiters, [this](const Waiter& waiter) { notify(waiter); });
    in_flight_.reset();
  }
  const auto of_keys = [](const Waiter& waiter) { return std::holds_alternative<KeysInstalled>(waiter); };
  std::erase_if(waiting_, of_keys);
  std::erase_if(asked_, of_keys);
  generation_ = 0;
}

void Planner::evict_orphans() {
  for (TimeNs& until : orphans_ | std::views::values) until = 0;
}

void Planner::tick(TimeNs now) {
  if (!attached_) return;
  std::erase_if(orphans_, [&](const auto& orphan) {
    if (orphan.second > now) return false;
    compare(orphan.first);
    return true;
  });
}

TimeNs Planner::next_deadline() const {
  TimeNs next = kNever;
  for (const TimeNs until : orphans_ | std::views::values) next = std::min(next, until);
  return next;
}

std::vector<Waiter> Planner::take_done() {
  return std::exchange(done_, {});
}

void Planner::add_puts(std::vector<InstallMessage>& messages) {
  for (auto at = to_put_.begin(); at != to_put_.end() && messages.size() < kMostInBatch; at = to_put_.erase(at)) {
    const InstallMessage& row = wanted_.at(*at);
    const auto standing = stands_.find(*at);
    if (standing == stands_.end() || !same_row(row, standing->second)) messages.push_back(row);
  }
}

void Planner::add_deletes(std::vector<InstallMessage>& messages) {
  while (to_put_.empty() && !to_delete_.empty() && messages.size() < kMostInBatch) {
    const RowKey last = *to_delete_.rbegin();
    if (stands_.contains(last)) messages.push_back(delete_of(last));
    note_gone(last);
    to_delete_.erase(last);
  }
}

std::vector<Waiter> Planner::take_waiting() {
  asked_.clear();
  return std::exchange(waiting_, {});
}

std::optional<Install> Planner::next_batch() {
  if (!attached_ || stalled_ || in_flight_) return std::nullopt;
  std::vector<InstallMessage> messages;
  add_puts(messages);
  add_deletes(messages);
  const bool owners_stand = to_put_.empty() || to_put_.begin()->table > Table::sessions;
  if (owners_stand) {
    messages.insert(messages.end(), chains_.begin(), chains_.end());
    wipe(chains_);
  }
  if (messages.empty()) {
    std::ranges::copy(take_waiting(), std::back_inserter(done_));
    return std::nullopt;
  }
  in_flight_.emplace(Batch{.generation = ++generation_, .messages = messages, .waiters = {}});
  if (nothing_to_do()) in_flight_->waiters = take_waiting();
  return Install{.generation = generation_, .messages = std::move(messages)};
}

std::optional<RowKey> Planner::deleted_key(const InstallMessage& message) {
  if (message.verb < Verb::delete_link || message.verb > Verb::delete_destination) return std::nullopt;
  const auto row = message.as<DeleteMessage>();
  switch (message.verb) {
    case Verb::delete_member:
      return member_key(GroupIndex{row.index}, row.slot);
    case Verb::delete_destination:
      return destination_key(Prefix{.address = row.prefix, .length = row.length, .family = row.family});
    default:
      return RowKey{.table = Table{static_cast<uint8_t>(to_underlying(message.verb) - to_underlying(Verb::delete_link) +
                                                        to_underlying(Table::links))},
                    .low = row.index};
  }
}

void Planner::settle(const InstallMessage& message) {
  if (const auto key = key_of(message)) {
    stands_.insert_or_assign(*key, message);
  } else if (const auto deleted = deleted_key(message)) {
    stands_.erase(*deleted);
    note_gone(*deleted);
  }
}

void Planner::note_gone(const RowKey& key) {
  if (stands_.contains(key) || wanted_.contains(key) || rules_.erase(key) == 0) return;
  gone_.push_back(RouteId{static_cast<uint32_t>(key.low)});
}

void Planner::retry(const InstallMessage& message) {
  if (message.verb == Verb::put_key_chain) {
    put_chain(message.as<KeyChainMessage>());
  } else if (const auto key = key_of(message)) {
    compare(*key);
  } else if (const auto deleted = deleted_key(message)) {
    compare(*deleted);
  }
}

/// What stands under that key goes too, unless the row was put anew meanwhile.
void Planner::unwant(const RowKey& key, const InstallMessage& row) {
  const auto wanted = wanted_.find(key);
  if (wanted == wanted_.end() || !same_row(wanted->second, row)) return;
  refused_.insert(wanted_.extract(wanted));
  compare(key);
}

std::vector<RefusedMessage> Planner::acked(const Acked& ack) {
  if (!in_flight_ || in_flight_->generation != ack.generation) return {};
  Batch batch = std::move(*in_flight_);
  in_flight_.reset();
  std::vector<RefusedMessage> refused;
  if (ack.error == InstallError::none) {
    for (const InstallMessage& message : batch.messages) settle(message);
    done_.insert(done_.end(), batch.waiters.begin(), batch.waiters.end());
  } else {
    std::ranges::for_each(batch.waiters, [this](const Waiter& waiter) { notify(waiter); });
    stalled_ = is_of_attachment(ack.error) || ack.index >= batch.messages.size();
    for (size_t i = 0; i < batch.messages.size(); ++i) {
      if (stalled_ || i != ack.index) retry(batch.messages[i]);
    }
    if (!stalled_) {
      InstallMessage& culprit = batch.messages[ack.index];
      if (culprit.verb == Verb::put_key_chain) {
        auto chain = culprit.as<KeyChainMessage>();
        sodium_memzero(chain.secret.data(), chain.secret.size());
        culprit = InstallMessage::of(chain);
      }
      refused.push_back({culprit, ack.error});
      if (const auto key = key_of(culprit)) unwant(*key, culprit);
      if (const auto key = deleted_key(culprit)) {
        if (ack.error == InstallError::still_used) {
          orphans_.emplace(*key, kNever);  // stands until the next attachment looks again
        } else {
          settle(culprit);  // it is not there
        }
      }
    }
  }
  wipe(batch.messages);
  return refused;
}

}  // namespace sky::controlplane
