#include "controlplane/event_loop.h"

#include <signal.h>
#include <sys/epoll.h>
#include <systemd/sd-event.h>
#include <time.h>

#include <cstring>

namespace sky::controlplane {
namespace {

constexpr uint64_t kMicrosecond = 1000;

/// The source may be dropped by its own callback: the callback is kept alive until it returned.
void call(void* source) {
  const EventLoop::Callback callback = static_cast<EventLoop::Source*>(source)->callback;
  callback();
}

int on_io(sd_event_source*, int, uint32_t, void* source) {
  call(source);
  return 0;
}

int on_time(sd_event_source*, uint64_t, void* source) {
  call(source);
  return 0;
}

Error error_of(const char* what, int code) {
  return {fmt::format("event loop: {}: {}", what, std::strerror(-code))};
}

}  // namespace

EventLoop::Source::~Source() {
  sd_event_source_disable_unref(source);
}

void EventLoop::Unref::operator()(sd_event* event) const {
  sd_event_unref(event);
}

Result<EventLoop> EventLoop::create() {
  sd_event* event = nullptr;
  if (const int code = sd_event_new(&event); code < 0) return std::unexpected(error_of("create", code));
  return EventLoop(event);
}

Result<EventLoop::Watch> EventLoop::watch(int fd, Callback callback) {
  auto source = std::make_unique<Source>(std::move(callback));
  const int code = sd_event_add_io(event_.get(), &source->source, fd, EPOLLIN, on_io, source.get());
  if (code < 0) return std::unexpected(error_of("watch", code));
  return source;
}

Result<EventLoop::Timer> EventLoop::timer(Callback callback) {
  Timer timer;
  timer.source_ = std::make_unique<Source>(std::move(callback));
  Source* source = timer.source_.get();
  constexpr uint64_t kAccuracyUs = 1;
  const int code =
      sd_event_add_time(event_.get(), &source->source, CLOCK_MONOTONIC, UINT64_MAX, kAccuracyUs, on_time, source);
  if (code < 0) return std::unexpected(error_of("timer", code));
  sd_event_source_set_enabled(source->source, SD_EVENT_OFF);
  return timer;
}

void EventLoop::Timer::arm(uint64_t at_ns) {
  sd_event_source* source = source_->source;
  if (at_ns == UINT64_MAX) {
    sd_event_source_set_enabled(source, SD_EVENT_OFF);
    return;
  }
  // Rounded up: a deadline is not met before its time.
  sd_event_source_set_time(source, at_ns / kMicrosecond + (at_ns % kMicrosecond != 0));
  sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

Result<> EventLoop::stop_on_signals() {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGTERM, SIGINT}) sigaddset(&signals, signal);
  sigprocmask(SIG_BLOCK, &signals, nullptr);
  for (const int signal : {SIGTERM, SIGINT}) {
    const int code = sd_event_add_signal(event_.get(), nullptr, signal, nullptr, nullptr);
    if (code < 0) return std::unexpected(error_of("signal", code));
  }
  return {};
}

void EventLoop::keep_watchdog_fed() {
  sd_event_set_watchdog(event_.get(), true);
}

uint64_t EventLoop::now_ns() {
  timespec time{};
  clock_gettime(CLOCK_MONOTONIC, &time);
  return static_cast<uint64_t>(time.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(time.tv_nsec);
}

Result<> EventLoop::run() {
  if (const int code = sd_event_loop(event_.get()); code < 0) return std::unexpected(error_of("run", code));
  return {};
}

}  // namespace sky::controlplane
