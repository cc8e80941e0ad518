#include "dataplane/agent/batch.h"

#include <sodium.h>
#include <sys/mman.h>

#include <new>

namespace sky::dataplane {
namespace {

constexpr size_t kBatchBytes = size_t{kMaxBatch} * sizeof(InstallMessage);

}  // namespace

InstallBatch::InstallBatch() {
  void* memory = mmap(nullptr, kBatchBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  // Key chains pass through here: never to swap, never into a core. Limits may forbid the lock; then it goes without.
  mlock2(memory, kBatchBytes, MLOCK_ONFAULT);
  madvise(memory, kBatchBytes, MADV_DONTDUMP);
  messages_ = static_cast<InstallMessage*>(memory);
}

InstallBatch::~InstallBatch() {
  wipe();
  munmap(messages_, kBatchBytes);
}

void InstallBatch::add(const InstallMessage& message) {
  if (count_ < kMaxBatch) messages_[count_] = message;
  if (count_ < UINT32_MAX) ++count_;
}

void InstallBatch::wipe() {
  sodium_memzero(messages_, messages().size_bytes());
  count_ = 0;
}

}  // namespace sky::dataplane
