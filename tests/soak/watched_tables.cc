#include "tests/soak/watched_tables.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace sky::soak {

using namespace dataplane;
using controlplane::RowKey;

void WatchedTables::judge() {
  ++batches_;
  messages_ += batch_.size();
  const auto wrong = [&](const InstallMessage& message) {
    return check_value(message, tables_.capacities()) != InstallError::none;
  };
  const auto refusal = test::naive_refusal(batch_, before_);
  if (refusal || std::ranges::any_of(batch_, wrong)) {
    ++unvalidated_;
    ADD_FAILURE() << "a batch was applied that the model refuses: message " << (refusal ? refusal->index : 0)
                  << ", reason " << unsigned{refusal ? to_underlying(refusal->error) : uint8_t{0}};
  }
  before_.state = test::naive_result(batch_, std::move(before_.state));
  for (const InstallMessage& message : batch_) keep(message);
  forget_old_chains();
  batch_.clear();
}

/// The tables remember the last 65,536 key IDs of a direction; the model forgets a little earlier.
void WatchedTables::forget_old_chains() {
  constexpr size_t kMostChains = 60'000;
  for (const InstallMessage& message : batch_) {
    if (message.verb == Verb::put_key_chain) chains_.push_back(test::key_of(message.as<KeyChainMessage>()));
  }
  for (; chains_.size() > kMostChains; chains_.pop_front()) before_.state.chains.erase(chains_.front());
}

void WatchedTables::keep(const InstallMessage& message) {
  if (const auto key = controlplane::key_of(message)) {
    rows_.insert_or_assign(*key, controlplane::without_state(message));
  } else {
    std::erase_if(rows_, [&](const auto& row) {
      const InstallMessage gone = controlplane::delete_of(row.first);
      return gone.verb == message.verb && controlplane::same_row(gone, message);
    });
  }
}

void WatchedTables::expect_tables() const {
  size_t found = 0;
  for (const Table table :
       {Table::links, Table::sessions, Table::rules, Table::groups, Table::members, Table::destinations}) {
    InstallMessage row;
    for (auto next = tables_.dump(table, 0, row); next; next = tables_.dump(table, *next, row), ++found) {
      const auto wanted = rows_.find(controlplane::key_of(row).value());
      ASSERT_NE(wanted, rows_.end()) << "table " << unsigned{to_underlying(table)} << " holds what nobody put";
      EXPECT_TRUE(controlplane::same_row(controlplane::without_state(row), wanted->second))
          << "a row of table " << unsigned{to_underlying(table)}
          << " is not as it was put: " << testing::PrintToString(wanted->second.body) << ", found "
          << testing::PrintToString(row.body);
    }
  }
  EXPECT_EQ(found, rows_.size()) << "rows are missing";
}

}  // namespace sky::soak
