#include "dataplane/crypto/mb_engine.h"

#include <intel-ipsec-mb.h>

#include <algorithm>

namespace sky::dataplane {
namespace {

static_assert(sizeof(AeadKey) == sizeof(gcm_key_data));

constexpr uint64_t kAesFeatures = IMB_FEATURE_AESNI | IMB_FEATURE_PCLMULQDQ;
constexpr uint64_t kWideFeatures = IMB_FEATURE_VAES | IMB_FEATURE_VPCLMULQDQ;

const gcm_key_data* mb_key(const AeadKey* key) {
  return reinterpret_cast<const gcm_key_data*>(key);
}

constexpr ptrdiff_t kLine = 64;
constexpr ptrdiff_t kRoundKeys = 4 * kLine;  // 15 x 16 bytes
constexpr ptrdiff_t kNarrow = 8 * kLine;     // and what engines without VAES keep behind them
constexpr ptrdiff_t kKey = sizeof(AeadKey);
constexpr size_t kKeysAhead = 3;

// Inlined, all of them: gcc takes a function that does nothing but prefetch for one without effect, and drops its
// calls.
[[gnu::always_inline]] inline void prefetch_lines(const AeadKey& key, ptrdiff_t from, ptrdiff_t to) {
  for (ptrdiff_t at = from; at < to; at += kLine) __builtin_prefetch(key.expanded.data() + at);
}

/// What a message of so many blocks reads of the powers of the hash key. Engines with VAES keep 48 of them, the first
/// at the very end.
[[gnu::always_inline]] inline void prefetch_powers(const AeadKey& key, ptrdiff_t blocks, bool wide) {
  if (!wide) [[unlikely]]
    return prefetch_lines(key, kRoundKeys, kNarrow);
  constexpr ptrdiff_t kShort = kKey - kKey % kLine - kLine;  // where the last two lines begin: seven blocks
  prefetch_lines(key, kShort, kKey);
  prefetch_lines(key, std::max(kRoundKeys, (kKey - blocks * 16) & -kLine), kShort);
}

/// What an operation reads of its key. A key is 16 lines, and a miss of one costs as much as a short frame's AEAD; but
/// all of those of a burst are more than the first cache holds.
[[gnu::always_inline]] inline void prefetch(const AeadOp& op, bool wide) {
  prefetch_lines(*op.key, 0, kRoundKeys);
  // Data and associated data begin a block each, and the lengths are one.
  prefetch_powers(*op.key, (op.length + op.associated_length) / 16 + 3, wide);
}
[[gnu::always_inline]] inline void prefetch(const HashOp& op, bool wide) {
  prefetch_powers(*op.key, 4, wide);
}

/// Calls `one` for each operation in order, the keys of the next ones on their way meanwhile.
template <typename Op, typename One>
void for_each_prefetched(std::span<Op> ops, bool wide, One one) {
  for (size_t i = 0; i < ops.size(); ++i) {
    if (i + kKeysAhead < ops.size()) prefetch(ops[i + kKeysAhead], wide);
    one(ops[i]);
  }
}

void seal_gcm(IMB_MGR* manager, AeadOp& op) {
  gcm_context_data context;
  IMB_AES256_GCM_ENC(manager, mb_key(op.key), &context, op.data, op.data, op.length, op.nonce.data(), op.associated,
                     op.associated_length, op.tag, kAeadTagBytes);
}

void open_gcm(IMB_MGR* manager, const AeadOp& op, uint8_t* tag) {
  gcm_context_data context;
  IMB_AES256_GCM_DEC(manager, mb_key(op.key), &context, op.data, op.data, op.length, op.nonce.data(), op.associated,
                     op.associated_length, tag, kAeadTagBytes);
}

/// As one job: direct calls take three, and nearly twice as long. No lanes are to be filled: it is done at once.
void run_chacha(IMB_MGR* manager, const AeadOp& op, IMB_CIPHER_DIRECTION direction, uint8_t* tag) {
  IMB_JOB& job = *IMB_GET_NEXT_JOB(manager);
  job.cipher_mode = IMB_CIPHER_CHACHA20_POLY1305;
  job.hash_alg = IMB_AUTH_CHACHA20_POLY1305;
  job.cipher_direction = direction;
  job.chain_order = direction == IMB_DIR_ENCRYPT ? IMB_ORDER_CIPHER_HASH : IMB_ORDER_HASH_CIPHER;
  job.enc_keys = job.dec_keys = op.key->expanded.data();
  job.key_len_in_bytes = kAeadKeyBytes;
  job.src = job.dst = op.data;
  job.cipher_start_src_offset_in_bytes = job.hash_start_src_offset_in_bytes = 0;
  job.msg_len_to_cipher_in_bytes = job.msg_len_to_hash_in_bytes = op.length;
  job.iv = op.nonce.data();
  job.iv_len_in_bytes = kAeadNonceBytes;
  job.u.CHACHA20_POLY1305.aad = op.associated;
  job.u.CHACHA20_POLY1305.aad_len_in_bytes = op.associated_length;
  job.auth_tag_output = tag;
  job.auth_tag_output_len_in_bytes = kAeadTagBytes;
  IMB_SUBMIT_JOB_NOCHECK(manager);
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
  const bool wide = manager->used_arch == IMB_ARCH_AVX512 && (manager->features & kWideFeatures) == kWideFeatures;
  return std::unique_ptr<MbEngine>(new MbEngine(std::move(manager), wide));
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
  for_each_prefetched(ops, wide_, [&](AeadOp& op) {
    op.suite == Suite::aes_256_gcm ? seal_gcm(manager_.get(), op)
                                   : run_chacha(manager_.get(), op, IMB_DIR_ENCRYPT, op.tag);
    op.authentic = true;
  });
}

void MbEngine::open(std::span<AeadOp> ops) noexcept {
  std::array<uint8_t, kAeadTagBytes> tag;
  for_each_prefetched(ops, wide_, [&](AeadOp& op) {
    op.suite == Suite::aes_256_gcm ? open_gcm(manager_.get(), op, tag.data())
                                   : run_chacha(manager_.get(), op, IMB_DIR_DECRYPT, tag.data());
    op.authentic = tags_equal(tag.data(), op.tag);
  });
}

void MbEngine::encrypt_blocks(const AeadKey& key, std::span<uint8_t> blocks) const noexcept {
  IMB_MGR* const manager = manager_.get();
  IMB_JOB& job = *IMB_GET_NEXT_JOB(manager);
  job.cipher_mode = IMB_CIPHER_ECB;
  job.cipher_direction = IMB_DIR_ENCRYPT;
  job.chain_order = IMB_ORDER_CIPHER_HASH;
  job.hash_alg = IMB_AUTH_NULL;
  job.enc_keys = job.dec_keys = mb_key(&key)->expanded_keys;
  job.key_len_in_bytes = kAeadKeyBytes;
  job.iv_len_in_bytes = 0;
  job.src = job.dst = blocks.data();
  job.cipher_start_src_offset_in_bytes = 0;
  job.msg_len_to_cipher_in_bytes = blocks.size();
  IMB_SUBMIT_JOB_NOCHECK(manager);  // ECB has no lanes to fill: it is done
}

void MbEngine::add_hashes(std::span<const HashOp> ops, std::span<const Hashed> hashed) noexcept {
  auto next = hashed.begin();
  for_each_prefetched(ops, wide_, [&](const HashOp& op) {
    std::array<uint64_t, 2> hash{}, tag;
    static_assert(sizeof(tag) == kAeadTagBytes);
    IMB_GHASH(manager_.get(), mb_key(op.key), &*next++, sizeof(Hashed), hash.data(), sizeof(hash));
    std::memcpy(tag.data(), op.tag, sizeof(tag));
    tag = {tag[0] ^ hash[0], tag[1] ^ hash[1]};
    std::memcpy(op.tag, tag.data(), sizeof(tag));
  });
}

}  // namespace sky::dataplane
