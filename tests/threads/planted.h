// Put before every source of the planted program: each release in the code under test is relaxed, and where a structure
// is made of atomic words alone, its writer's are plain. The thread sanitizer must then find every case out; hardware
// would show most of this never.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <memory>
#include <thread>

#include "dataplane/crypto/key_chain.h"
#include "dataplane/crypto/replay_window.h"
#include "dataplane/protocol/install.h"

namespace std {

inline constexpr memory_order planted_order = memory_order_relaxed;

/// Volatile, so that a loop that waits for it ends.
template <typename T>
class planted_word {
 public:
  planted_word(T value = {}) : value_(value) {}
  T load(memory_order) const { return value_; }
  void store(T value, memory_order) { value_ = value; }

 private:
  volatile T value_;
};

}  // namespace std

#define atomic planted_word
#include "dataplane/crypto/key_slot.h"
#include "dataplane/protocol/stats_page.h"
#undef atomic

#define memory_order_release planted_order
#undef __ATOMIC_RELEASE
#define __ATOMIC_RELEASE __ATOMIC_RELAXED
#define __atomic_store_n(word, value, order) static_cast<void>(*(word) = (value))
