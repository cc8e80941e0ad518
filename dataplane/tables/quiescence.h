// Grace periods on rte_rcu_qsbr: what workers may still see is freed only after each of them has been quiescent.
//
// A worker calls online() before its first turn, quiescent() after each turn, offline() before it sleeps. The main
// core brackets its turn with begin() and end(), and in between retires what it took out of the tables.
#pragma once

#include <rte_rcu_qsbr.h>

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>

namespace sky::dataplane {

class Quiescence {
 public:
  explicit Quiescence(unsigned workers);
  Quiescence(const Quiescence&) = delete;
  Quiescence& operator=(const Quiescence&) = delete;
  ~Quiescence() { drain(); }

  // Worker's side; `worker` counts from 0.
  void online(unsigned worker) { rte_rcu_qsbr_thread_online(qsbr_.get(), worker); }
  void offline(unsigned worker) { rte_rcu_qsbr_thread_offline(qsbr_.get(), worker); }
  void quiescent(unsigned worker) { rte_rcu_qsbr_quiescent(qsbr_.get(), worker); }

  // Main core's side.
  /// Starts a turn; frees what has passed its grace. Returns the `now_ns` of the newest turn after whose end every
  /// worker was quiescent; 0 before the first.
  uint64_t begin(uint64_t now_ns);
  void end();
  /// Calls `free` in a later turn, after a grace period that begins with the end of this turn.
  void retire(std::function<void()> free) { limbo_.push_back({now_ns_, std::move(free)}); }
  /// Returns once every worker was quiescent or offline: at most one turn of a worker.
  void wait();
  /// No worker runs any more: frees all that waits.
  void drain();
  bool limbo_empty() const { return limbo_.empty(); }
  size_t limbo_size() const { return limbo_.size(); }

 private:
  struct Retired {
    uint64_t at_ns;
    std::function<void()> free;
  };
  struct FreeAligned {
    void operator()(rte_rcu_qsbr* qsbr) const { std::free(qsbr); }
  };
  std::unique_ptr<rte_rcu_qsbr, FreeAligned> qsbr_;
  std::deque<Retired> limbo_;
  uint64_t now_ns_ = 0;
  uint64_t token_ = 0;
  uint64_t token_round_ns_ = 0;  ///< turn whose end `token_` marks; 0: none outstanding
  uint64_t quiesced_ns_ = 0;
};

}  // namespace sky::dataplane
