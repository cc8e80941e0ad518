#include "drivers/idle.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <ctime>

namespace sky::drivers {

Result<int> make_event() {
  const int event = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (event < 0) return fail("no eventfd: {}", std::strerror(errno));
  return event;
}

void signal_event(int event) noexcept {
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = write(event, &one, sizeof(one));
}

void clear_event(int event) noexcept {
  uint64_t count;
  [[maybe_unused]] const ssize_t taken = read(event, &count, sizeof(count));
}

Result<Waiter> Waiter::create() {
  const int epoll = epoll_create1(EPOLL_CLOEXEC);
  if (epoll < 0) return fail("no epoll: {}", std::strerror(errno));
  return Waiter(epoll);
}

Waiter::~Waiter() {
  if (epoll_ >= 0) close(epoll_);
}

Result<> Waiter::add(int descriptor) {
  epoll_event event{.events = EPOLLIN, .data = {.fd = descriptor}};
  if (epoll_ctl(epoll_, EPOLL_CTL_ADD, descriptor, &event) == 0) return {};
  return fail("cannot wait on descriptor {}: {}", descriptor, std::strerror(errno));
}

void Waiter::remove(int descriptor) noexcept {
  epoll_ctl(epoll_, EPOLL_CTL_DEL, descriptor, nullptr);
}

bool Waiter::wait(uint64_t timeout_ns) noexcept {
  const timespec timeout{.tv_sec = static_cast<time_t>(timeout_ns / 1'000'000'000),
                         .tv_nsec = static_cast<long>(timeout_ns % 1'000'000'000)};
  std::array<epoll_event, 16> events;
  const int count = epoll_pwait2(epoll_, events.data(), events.size(), &timeout, nullptr);
  bool readable = false;
  for (int i = 0; i < count; ++i) {
    const int descriptor = events[i].data.fd;
    readable = readable || (events[i].events & EPOLLIN) != 0;
    if ((events[i].events & (EPOLLERR | EPOLLHUP)) == 0) continue;
    // An interface that went down leaves an error that would end every wait until someone reads it;
    // what has no such error to read is gone for good.
    int error = 0;
    socklen_t size = sizeof(error);
    if (getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &error, &size) != 0) remove(descriptor);
  }
  return readable;
}

void set_timer_slack(uint64_t slack_ns) noexcept {
  prctl(PR_SET_TIMERSLACK, slack_ns, 0, 0, 0);
}

}  // namespace sky::drivers
