// A control plane that wants the dataplane's death, in a process of its own: attaches again and again, sends batches
// good and bad, dumps and control packets, and all the while another thread scribbles over everything it was given.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <string>

namespace sky::soak {

/// In memory of both processes.
struct HostileFigures {
  std::atomic<uint64_t> writes;
  std::atomic<uint64_t> attachments;
  std::atomic<uint64_t> counter_writes_refused;  ///< ways to write to the counters page that the kernel refused
};

/// Forks; the child never returns and dies with its parent. To be called while this process has one thread.
pid_t start_hostile_control_plane(const std::string& socket_path, uint64_t boot_id, HostileFigures& figures);

/// Ways in which whoever was handed the counters page may try to write to it.
inline constexpr unsigned kWaysToWrite = 4;
/// How many of them the kernel refused.
unsigned refused_counter_writes(int descriptor);

}  // namespace sky::soak
