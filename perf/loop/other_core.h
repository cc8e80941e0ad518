// A second thread on a CPU of its own, beside the one that runs the cases.
#pragma once

#include <pthread.h>
#include <rte_lcore.h>
#include <sched.h>

#include <functional>
#include <future>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace sky::perf {

/// Between two looks at a word of the other thread's. No pause instruction: a hypervisor takes the CPU away from who
/// executes many.
inline void look_again() {
  asm volatile("" ::: "memory");
}

/// CPUs that this process was given, as it found them.
inline const std::vector<int>& cpus() {
  static const std::vector<int> found = [] {
    cpu_set_t set;
    CPU_ZERO(&set);
    sched_getaffinity(0, sizeof(set), &set);
    std::vector<int> all;
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
      if (CPU_ISSET(cpu, &set)) all.push_back(cpu);
    }
    return all;
  }();
  return found;
}

/// The calling thread runs there alone. False where it may not.
inline bool take_cpu(int cpu) {
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(cpu, &one);
  return pthread_setaffinity_np(pthread_self(), sizeof(one), &one) == 0;
}

/// Where the cases run: interrupts and other programs gather on the first.
inline void take_last_cpu() {
  take_cpu(cpus().back());
}

class OtherCore {
 public:
  /// Runs `work`. DPDK knows the thread: it has caches of the pools, as a worker has.
  explicit OtherCore(std::function<void()> work) {
    std::promise<bool> ready;
    auto is_ready = ready.get_future();
    thread_ = std::thread([work = std::move(work), cpu = other_cpu(), &ready] {
      const bool placed = take_cpu(cpu) && rte_thread_register() == 0;
      ready.set_value(placed);
      if (!placed) return;
      work();
      rte_thread_unregister();
    });
    if (is_ready.get()) return;
    thread_.join();
    throw std::runtime_error("CPU " + std::to_string(other_cpu()) + ": found it not usable beside this one");
  }
  ~OtherCore() {
    if (thread_.joinable()) thread_.join();
  }
  void join() { thread_.join(); }

  static bool exists() { return cpus().size() > 1; }

 private:
  static int other_cpu() { return sched_getcpu() == cpus().front() ? cpus().back() : cpus().front(); }

  std::thread thread_;
};

}  // namespace sky::perf
