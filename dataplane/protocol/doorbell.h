// How one process wakes the other: the two ends of a Unix stream socket pair, one with each. Who has put something into
// a ring writes a byte; the other end stays readable until it is cleared, so "clear, look at the rings, wait" misses
// nothing. Not an eventfd: its O_NONBLOCK belongs to both processes, and either could make the other one wait for
// ever. Here each call says for itself that it does not wait. Cost: one system call.
#pragma once

#include <sys/socket.h>

#include <array>
#include <cerrno>

namespace sky {

inline void ring_doorbell(int doorbell) noexcept {
  const char byte = 0;
  // No room means that it rings already.
  [[maybe_unused]] const ssize_t sent = send(doorbell, &byte, sizeof(byte), MSG_DONTWAIT | MSG_NOSIGNAL);
}

/// False when the other process let go of its end, which stays readable then. What one call does not take leaves the
/// doorbell rung, so nobody is held here by a neighbour that rings all the time.
inline bool clear_doorbell(int doorbell) noexcept {
  std::array<char, 512> bytes;
  const ssize_t taken = recv(doorbell, bytes.data(), bytes.size(), MSG_DONTWAIT);
  return taken > 0 || (taken < 0 && (errno == EAGAIN || errno == EINTR));
}

}  // namespace sky
