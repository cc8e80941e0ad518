#include "dataplane/crypto/mb_engine.h"

#include <intel-ipsec-mb.h>

namespace sky::dataplane {
namespace {

static_assert(sizeof(AeadKey) == sizeof(gcm_key_data));

constexpr uint64_t kNeeded = IMB_FEATURE_AESNI | IMB_FEATURE_PCLMULQDQ;

const gcm_key_data* mb_key(const AeadOp& op) {
  return reinterpret_cast<const gcm_key_data*>(op.key);
}

/// A key is 16 lines. With many keys in a burst these misses cost as much as a short frame's AEAD.
void prefetch(const AeadKey* key) {
  const uint8_t* bytes = key->expanded.data();
  for (size_t at = 0; at < sizeof(AeadKey); at += 64) __builtin_prefetch(bytes + at);
}

/// Calls `one` for each operation in order, the next operation's key on its way meanwhile.
template <typename One>
void for_each_prefetched(std::span<AeadOp> ops, One one) {
  for (size_t i = 0; i < ops.size(); ++i) {
    if (i + 1 < ops.size() && ops[i + 1].key != ops[i].key) prefetch(ops[i + 1].key);
    one(ops[i]);
  }
}

}  // namespace

Result<std::unique_ptr<MbEngine>> MbEngine::create() {
  Manager manager(alloc_mb_mgr(0));
  if (!manager) return fail("IPsec-MB: no memory for a manager, wanted {} bytes", sizeof(IMB_MGR));
  if ((manager->features & kNeeded) != kNeeded) {
    return fail("CPU: found no AES-NI and PCLMULQDQ instructions, wanted both for AES-256-GCM");
  }
  init_mb_mgr_auto(manager.get(), nullptr);
  if (const int error = imb_get_errno(manager.get()); error != 0) {
    return fail("IPsec-MB: found \"{}\" at its start", imb_get_strerror(error));
  }
  return std::unique_ptr<MbEngine>(new MbEngine(std::move(manager)));
}

void MbEngine::FreeManager::operator()(IMB_MGR* manager) const noexcept {
  free_mb_mgr(manager);
}

void MbEngine::expand(std::span<const uint8_t, kAeadKeyBytes> key, AeadKey& out) const noexcept {
  IMB_AES256_GCM_PRE(manager_.get(), key.data(), reinterpret_cast<gcm_key_data*>(&out));
}

void MbEngine::seal(std::span<AeadOp> ops) noexcept {
  gcm_context_data context;
  for_each_prefetched(ops, [&](AeadOp& op) {
    IMB_AES256_GCM_ENC(manager_.get(), mb_key(op), &context, op.data, op.data, op.length, op.nonce.data(),
                       op.associated, op.associated_length, op.tag, kAeadTagBytes);
    op.authentic = true;
  });
}

void MbEngine::open(std::span<AeadOp> ops) noexcept {
  gcm_context_data context;
  std::array<uint8_t, kAeadTagBytes> tag;
  for_each_prefetched(ops, [&](AeadOp& op) {
    IMB_AES256_GCM_DEC(manager_.get(), mb_key(op), &context, op.data, op.data, op.length, op.nonce.data(),
                       op.associated, op.associated_length, tag.data(), kAeadTagBytes);
    op.authentic = tags_equal(tag.data(), op.tag);
  });
}

}  // namespace sky::dataplane
