#include "dataplane/tables/quiescence.h"

#include <cstdlib>
#include <new>

namespace sky::dataplane {

Quiescence::Quiescence(unsigned workers) {
  const size_t bytes = rte_rcu_qsbr_get_memsize(workers);
  qsbr_.reset(static_cast<rte_rcu_qsbr*>(std::aligned_alloc(RTE_CACHE_LINE_SIZE, bytes)));
  if (!qsbr_) throw std::bad_alloc();
  rte_rcu_qsbr_init(qsbr_.get(), workers);
  for (unsigned worker = 0; worker < workers; ++worker) rte_rcu_qsbr_thread_register(qsbr_.get(), worker);
}

void Quiescence::wait() {
  // rte_rcu_qsbr_synchronize does this too, but in DPDK's own library, which no sanitizer sees into.
  rte_rcu_qsbr_check(qsbr_.get(), rte_rcu_qsbr_start(qsbr_.get()), true);
}

void Quiescence::drain() {
  for (Retired& retired : limbo_) retired.free();
  limbo_.clear();
}

uint64_t Quiescence::begin(uint64_t now_ns) {
  now_ns_ = now_ns;
  if (token_round_ns_ != 0 && rte_rcu_qsbr_check(qsbr_.get(), token_, false) == 1) {
    quiesced_ns_ = token_round_ns_;
    token_round_ns_ = 0;
  }
  while (!limbo_.empty() && limbo_.front().at_ns <= quiesced_ns_) {
    limbo_.front().free();
    limbo_.pop_front();
  }
  return quiesced_ns_;
}

void Quiescence::end() {
  if (token_round_ns_ != 0) return;
  token_ = rte_rcu_qsbr_start(qsbr_.get());
  token_round_ns_ = now_ns_;
}

}  // namespace sky::dataplane
