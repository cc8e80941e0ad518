// DPDK's environment for one process: cores, memory, PCI devices, log. Called once, before anything
// else of DPDK; nothing of it stays behind in the file system, even after a SIGKILL.
//
// Worker w (from 0) runs on its own EAL lcore; several lcores, also of other processes, may share a
// CPU. Memory: `memory_bytes` are taken at the start and no more later. With hugepages they come
// from anonymous ones (--in-memory), without from plain pages (--no-huge).
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "dataplane/base/result.h"

namespace sky::drivers {

struct EalConfig {
  uint16_t main_core = 0;         ///< CPU
  std::vector<uint16_t> workers;  ///< CPU of each
  bool hugepages = false;
  uint64_t memory_bytes = 0;
  std::vector<std::string> devices;  ///< as in router.yaml; PCI addresses are taken, others ignored
  std::string scratch;               ///< an existing directory of this process, left as it was
};

/// Fails before it touches DPDK where a CPU is missing.
Result<> start_eal(const EalConfig& config);
/// After the workers returned.
void stop_eal();

/// Runs `function` once on DPDK's own thread, which no worker and no main core is, and waits for what it returns.
Result<> on_interrupt_thread(const std::function<Result<>()>& function);

/// Runs `function(argument)` on a worker's core.
Result<> launch_worker(unsigned worker, int (*function)(void*), void* argument);
/// Waits for all workers to return.
void join_workers();

}  // namespace sky::drivers
