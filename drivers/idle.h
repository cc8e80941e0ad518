// How a core sleeps without missing work. A Waiter waits for descriptors (ports, the TUN, an
// event); an event is what another thread or process signals after it has put something into a
// ring. Since an event stays readable until it is cleared, the order "clear, look at the rings,
// wait" misses nothing. Cost: one system call each.
#pragma once

#include <cstdint>

#include "dataplane/base/result.h"

namespace sky::drivers {

/// A nonblocking eventfd; the caller closes it.
Result<int> make_event();
/// Wakes whoever waits for it. Nothing happens with -1 or when the count is at its end.
void signal_event(int event) noexcept;
void clear_event(int event) noexcept;

/// Waits until one of its descriptors is readable or the time is over. One thread.
class Waiter {
 public:
  static Result<Waiter> create();
  Waiter(Waiter&& other) noexcept : epoll_(other.epoll_) { other.epoll_ = -1; }
  Waiter& operator=(Waiter&&) = delete;
  ~Waiter();
  Result<> add(int descriptor);
  void remove(int descriptor) noexcept;

  /// Readable when one of them is: for a Waiter inside another.
  int descriptor() const { return epoll_; }
  /// True when a descriptor is readable. Wakes late by the thread's timer slack: see
  /// set_timer_slack.
  bool wait(uint64_t timeout_ns) noexcept;

 private:
  explicit Waiter(int epoll) : epoll_(epoll) {}

  int epoll_;
};

/// The kernel wakes this thread at most so late; 50 us if never set.
void set_timer_slack(uint64_t slack_ns) noexcept;

}  // namespace sky::drivers
