// The rows of a dump by their keys, so that two dumps, or a dump and what should stand, can be compared.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <vector>

#include "controlplane/install/row.h"

namespace sky::soak {

using Rows = std::map<controlplane::RowKey, InstallMessage>;

inline Rows rows_of(const std::vector<InstallMessage>& dump) {
  Rows rows;
  for (const InstallMessage& row : dump) rows[controlplane::key_of(row).value()] = controlplane::without_state(row);
  EXPECT_EQ(rows.size(), dump.size()) << "a row came twice";
  return rows;
}

inline bool same(const Rows& one, const Rows& other) {
  return one.size() == other.size() && std::equal(one.begin(), one.end(), other.begin(), [](auto& a, auto& b) {
           return a.first == b.first && controlplane::same_row(a.second, b.second);
         });
}

/// What stands after a batch of puts and deletes.
inline Rows after(Rows rows, const std::vector<InstallMessage>& batch) {
  for (const InstallMessage& message : batch) {
    if (const auto key = controlplane::key_of(message)) {
      rows[*key] = controlplane::without_state(message);
    } else {
      std::erase_if(
          rows, [&](const auto& row) { return controlplane::same_row(controlplane::delete_of(row.first), message); });
    }
  }
  return rows;
}

}  // namespace sky::soak
