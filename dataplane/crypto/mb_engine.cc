#include "dataplane/crypto/mb_engine.h"

#include <intel-ipsec-mb.h>

namespace sky::dataplane {
namespace {

static_assert(sizeof(AeadKey) == sizeof(gcm_key_data));

constexpr uint64_t kAesFeatures = IMB_FEATURE_AESNI | IMB_FEATURE_PCLMULQDQ;

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

void seal_gcm(IMB_MGR* manager, AeadOp& op) {
  gcm_context_data context;
  IMB_AES256_GCM_ENC(manager, mb_key(op), &context, op.data, op.data, op.length, op.nonce.data(), op.associated,
                     op.associated_length, op.tag, kAeadTagBytes);
}

void open_gcm(IMB_MGR* manager, const AeadOp& op, uint8_t* tag) {
  gcm_context_data context;
  IMB_AES256_GCM_DEC(manager, mb_key(op), &context, op.data, op.data, op.length, op.nonce.data(), op.associated,
                     op.associated_length, tag, kAeadTagBytes);
}

void seal_chacha(IMB_MGR* manager, AeadOp& op) {
  chacha20_poly1305_context_data context;
  IMB_CHACHA20_POLY1305_INIT(manager, op.key->expanded.data(), &context, op.nonce.data(), op.associated,
                             op.associated_length);
  IMB_CHACHA20_POLY1305_ENC_UPDATE(manager, op.key->expanded.data(), &context, op.data, op.data, op.length);
  IMB_CHACHA20_POLY1305_ENC_FINALIZE(manager, &context, op.tag, kAeadTagBytes);
}

void open_chacha(IMB_MGR* manager, const AeadOp& op, uint8_t* tag) {
  chacha20_poly1305_context_data context;
  IMB_CHACHA20_POLY1305_INIT(manager, op.key->expanded.data(), &context, op.nonce.data(), op.associated,
                             op.associated_length);
  IMB_CHACHA20_POLY1305_DEC_UPDATE(manager, op.key->expanded.data(), &context, op.data, op.data, op.length);
  IMB_CHACHA20_POLY1305_DEC_FINALIZE(manager, &context, tag, kAeadTagBytes);
}

}  // namespace

Result<std::unique_ptr<MbEngine>> MbEngine::create(void (*init)(IMB_MGR*)) {
  Manager manager(alloc_mb_mgr(0));
  if (!manager) return fail("IPsec-MB: no memory for a manager, wanted {} bytes", sizeof(IMB_MGR));
  if (init == nullptr) {
    init_mb_mgr_auto(manager.get(), nullptr);
  } else {
    init(manager.get());
  }
  if (const int error = imb_get_errno(manager.get()); error != 0) {
    return fail("IPsec-MB: found \"{}\" at its start", imb_get_strerror(error));
  }
  return std::unique_ptr<MbEngine>(new MbEngine(std::move(manager)));
}

void MbEngine::FreeManager::operator()(IMB_MGR* manager) const noexcept {
  free_mb_mgr(manager);
}

Suites MbEngine::suites() const noexcept {
  const bool aes = (manager_->features & kAesFeatures) == kAesFeatures;
  return aes ? kAllSuites : to_underlying(Suite::chacha20_poly1305);
}

void MbEngine::expand(Suite suite, std::span<const uint8_t, kAeadKeyBytes> key, AeadKey& out) const noexcept {
  if (suite == Suite::aes_256_gcm) {
    IMB_AES256_GCM_PRE(manager_.get(), key.data(), reinterpret_cast<gcm_key_data*>(&out));
  } else {
    std::memcpy(out.expanded.data(), key.data(), key.size());
  }
}

void MbEngine::seal(std::span<AeadOp> ops) noexcept {
  for_each_prefetched(ops, [&](AeadOp& op) {
    op.suite == Suite::aes_256_gcm ? seal_gcm(manager_.get(), op) : seal_chacha(manager_.get(), op);
    op.authentic = true;
  });
}

void MbEngine::open(std::span<AeadOp> ops) noexcept {
  std::array<uint8_t, kAeadTagBytes> tag;
  for_each_prefetched(ops, [&](AeadOp& op) {
    op.suite == Suite::aes_256_gcm ? open_gcm(manager_.get(), op, tag.data())
                                   : open_chacha(manager_.get(), op, tag.data());
    op.authentic = tags_equal(tag.data(), op.tag);
  });
}

}  // namespace sky::dataplane
