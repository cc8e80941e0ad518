// Sleeping: what wakes, how late, and what must not keep a core awake.
#include "drivers/idle.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <thread>

namespace sky::drivers {
namespace {

using Clock = std::chrono::steady_clock;

class WaiterTest : public testing::Test {
 protected:
  Waiter waiter = std::move(*Waiter::create());
  int event = *make_event();
  ~WaiterTest() override { close(event); }
};

TEST_F(WaiterTest, SleepsAsLongAsAsked) {
  ASSERT_TRUE(waiter.add(event).has_value());
  const auto start = Clock::now();
  EXPECT_FALSE(waiter.wait(3'000'000));
  EXPECT_GE(Clock::now() - start, std::chrono::milliseconds(3));
}

TEST_F(WaiterTest, AnEventStaysUntilItIsCleared) {
  ASSERT_TRUE(waiter.add(event).has_value());
  signal_event(event);
  signal_event(event);
  EXPECT_TRUE(waiter.wait(0));
  EXPECT_TRUE(waiter.wait(0));
  clear_event(event);
  EXPECT_FALSE(waiter.wait(0)) << "one clear takes all signals";
  clear_event(event);  // does not block
}

TEST_F(WaiterTest, AnEventFromAnotherThreadEndsTheSleep) {
  ASSERT_TRUE(waiter.add(event).has_value());
  std::thread other([this] { signal_event(event); });
  EXPECT_TRUE(waiter.wait(10'000'000'000));
  other.join();
}

TEST_F(WaiterTest, OneWaiterWaitsForAnother) {
  auto inner = std::move(*Waiter::create());
  ASSERT_TRUE(inner.add(event).has_value());
  ASSERT_TRUE(waiter.add(inner.descriptor()).has_value());
  EXPECT_FALSE(waiter.wait(0));
  signal_event(event);
  EXPECT_TRUE(waiter.wait(0));
}

TEST_F(WaiterTest, AnErrorThatCanBeReadWakesOnce) {
  // A UDP socket to a port without a listener gets ECONNREFUSED, as a packet socket gets ENETDOWN.
  const int socket = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  sockaddr address{};
  socklen_t size = sizeof(address);
  const int closed = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  address.sa_family = AF_INET;
  address.sa_data[2] = 127;
  address.sa_data[5] = 1;
  ASSERT_EQ(bind(closed, &address, sizeof(address)), 0);
  ASSERT_EQ(getsockname(closed, &address, &size), 0);
  close(closed);
  ASSERT_EQ(connect(socket, &address, sizeof(address)), 0);
  ASSERT_EQ(send(socket, "x", 1, 0), 1);
  ASSERT_TRUE(waiter.add(socket).has_value());
  waiter.wait(1'000'000'000);
  const auto start = Clock::now();
  EXPECT_FALSE(waiter.wait(5'000'000));
  EXPECT_GE(Clock::now() - start, std::chrono::milliseconds(5)) << "the error was not taken away";
  close(socket);
}

TEST_F(WaiterTest, APipeWhoseWriterIsGoneDoesNotSpin) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  ASSERT_TRUE(waiter.add(ends[0]).has_value());
  close(ends[1]);
  waiter.wait(0);
  const auto start = Clock::now();
  EXPECT_FALSE(waiter.wait(5'000'000));
  EXPECT_GE(Clock::now() - start, std::chrono::milliseconds(5));
  close(ends[0]);
}

}  // namespace
}  // namespace sky::drivers
