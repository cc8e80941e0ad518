// The messages of an install batch between its begin and its commit. They hold key chains, so their memory is locked
// where limits allow it, left out of core dumps, and wiped when the batch is done with.
// Cost: 4 MiB of address space, touched as far as it was ever filled; no allocation after construction.
#pragma once

#include <algorithm>
#include <span>

#include "dataplane/protocol/install.h"

namespace sky::dataplane {

using Messages = std::span<const InstallMessage>;

class InstallBatch {
 public:
  InstallBatch();
  InstallBatch(const InstallBatch&) = delete;
  InstallBatch& operator=(const InstallBatch&) = delete;
  ~InstallBatch();

  /// Past kMaxBatch messages are only counted.
  void add(const InstallMessage& message);
  uint32_t count() const { return count_; }
  Messages messages() const { return {messages_, std::min(count_, kMaxBatch)}; }
  void wipe();

 private:
  InstallMessage* messages_;
  uint32_t count_ = 0;
};

}  // namespace sky::dataplane
