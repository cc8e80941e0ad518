// A second thread on a CPU of its own, beside the one that runs the cases.
#pragma once

#include <pthread.h>
#include <rte_lcore.h>
#include <sched.h>
#include <unistd.h>

#include <functional>
#include <future>
#include <stdexcept>
#include <string>
#include <thread>

namespace sky::perf {

/// Between two looks at a word of the other thread's. No pause instruction: a hypervisor takes the CPU away from who
/// executes many.
inline void look_again() {
  asm volatile("" ::: "memory");
}

class OtherCore {
 public:
  /// Runs `work`. DPDK knows the thread: it has caches of the pools, as a worker has.
  explicit OtherCore(std::function<void()> work) {
    std::promise<bool> ready;
    auto is_ready = ready.get_future();
    thread_ = std::thread([work = std::move(work), cpu = other_cpu(), &ready] {
      cpu_set_t one;
      CPU_ZERO(&one);
      CPU_SET(cpu, &one);
      const bool placed = pthread_setaffinity_np(pthread_self(), sizeof(one), &one) == 0 && rte_thread_register() == 0;
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

  static bool exists() { return sysconf(_SC_NPROCESSORS_ONLN) > 1; }

 private:
  static int other_cpu() { return sched_getcpu() == 0 ? 1 : 0; }

  std::thread thread_;
};

}  // namespace sky::perf
