// sd-event as the daemon needs it: descriptors, deadlines, signals, the watchdog. One thread; callbacks run one after
// another and must not throw. A Watch or Timer ends when it is dropped, also from within its own callback.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "dataplane/base/result.h"

struct sd_event;
struct sd_event_source;

namespace sky::controlplane {

class EventLoop {
 public:
  using Callback = std::function<void()>;

  /// A source with its callback, at a fixed address for sd-event.
  struct Source {
    Callback callback;
    sd_event_source* source = nullptr;
    ~Source();
  };
  using Watch = std::unique_ptr<Source>;

  class Timer {
   public:
    Timer() = default;
    /// At that time of CLOCK_MONOTONIC, once; replaces an earlier arming. UINT64_MAX: never.
    void arm(uint64_t at_ns);
    void disarm() { arm(UINT64_MAX); }

   private:
    friend class EventLoop;
    Watch source_;
  };

  static Result<EventLoop> create();
  EventLoop(EventLoop&&) noexcept = default;

  /// Calls when `fd` is readable or its other end is gone, as long as it is.
  Result<Watch> watch(int fd, Callback callback);
  Result<Timer> timer(Callback callback);
  /// Ends `run` with 0 on SIGTERM and SIGINT.
  Result<> stop_on_signals();
  /// Tells systemd, where it asked, that the loop turns.
  void keep_watchdog_fed();

  static uint64_t now_ns();
  Result<> run();

 private:
  struct Unref {
    void operator()(sd_event* event) const;
  };
  explicit EventLoop(sd_event* event) : event_(event) {}
  std::unique_ptr<sd_event, Unref> event_;
};

}  // namespace sky::controlplane
