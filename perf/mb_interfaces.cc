#include "perf/mb_interfaces.h"

#include <cstring>

namespace sky::perf {

using namespace sky::dataplane;

RawEngine::RawEngine() : manager_(alloc_mb_mgr(0)) {
  init_mb_mgr_auto(manager_.get(), nullptr);
}

void RawEngine::expand(Suite suite, std::span<const uint8_t, kAeadKeyBytes> key, AeadKey& out) const noexcept {
  if (suite == Suite::aes_256_gcm) {
    IMB_AES256_GCM_PRE(manager_.get(), key.data(), reinterpret_cast<gcm_key_data*>(&out));
  } else {
    std::memcpy(out.expanded.data(), key.data(), key.size());
  }
}

namespace {

template <bool seals>
void direct(IMB_MGR* manager, const AeadOp& op, uint8_t* tag) noexcept {
  if (op.suite == Suite::aes_256_gcm) {
    gcm_context_data context;
    const auto* key = reinterpret_cast<const gcm_key_data*>(op.key);
    const auto call = seals ? manager->gcm256_enc : manager->gcm256_dec;
    return call(key, &context, op.data, op.data, op.length, op.nonce.data(), op.associated, op.associated_length, tag,
                kAeadTagBytes);
  }
  chacha20_poly1305_context_data context;
  const uint8_t* key = op.key->expanded.data();
  IMB_CHACHA20_POLY1305_INIT(manager, key, &context, op.nonce.data(), op.associated, op.associated_length);
  if constexpr (seals) {
    IMB_CHACHA20_POLY1305_ENC_UPDATE(manager, key, &context, op.data, op.data, op.length);
    IMB_CHACHA20_POLY1305_ENC_FINALIZE(manager, &context, tag, kAeadTagBytes);
  } else {
    IMB_CHACHA20_POLY1305_DEC_UPDATE(manager, key, &context, op.data, op.data, op.length);
    IMB_CHACHA20_POLY1305_DEC_FINALIZE(manager, &context, tag, kAeadTagBytes);
  }
}

}  // namespace

void DirectEngine::seal(std::span<AeadOp> ops) noexcept {
  for (const AeadOp& op : ops) direct<true>(manager_.get(), op, op.tag);
}

void DirectEngine::open(std::span<AeadOp> ops) noexcept {
  std::array<uint8_t, kAeadTagBytes> tag;
  for (AeadOp& op : ops) {
    direct<false>(manager_.get(), op, tag.data());
    op.authentic = tags_equal(tag.data(), op.tag);
  }
}

void JobFiller::open(std::span<AeadOp> ops) noexcept {
  run(ops, IMB_DIR_DECRYPT);
  for (size_t i = 0; i < ops.size(); ++i) ops[i].authentic = tags_equal(tags_[i].data(), ops[i].tag);
}

void JobFiller::fill(IMB_JOB& job, const AeadOp& op, size_t index, IMB_CIPHER_DIRECTION direction) noexcept {
  const bool seals = direction == IMB_DIR_ENCRYPT;
  job.cipher_direction = direction;
  job.chain_order = seals ? IMB_ORDER_CIPHER_HASH : IMB_ORDER_HASH_CIPHER;
  job.enc_keys = job.dec_keys = op.key;
  job.key_len_in_bytes = kAeadKeyBytes;
  job.src = job.dst = op.data;
  job.cipher_start_src_offset_in_bytes = 0;
  job.msg_len_to_cipher_in_bytes = op.length;
  job.hash_start_src_offset_in_bytes = 0;
  job.msg_len_to_hash_in_bytes = op.length;
  job.iv = op.nonce.data();
  job.iv_len_in_bytes = kAeadNonceBytes;
  job.auth_tag_output = seals ? op.tag : tags_[index].data();
  job.auth_tag_output_len_in_bytes = kAeadTagBytes;
  if (op.suite == Suite::aes_256_gcm) {
    job.cipher_mode = IMB_CIPHER_GCM;
    job.hash_alg = IMB_AUTH_AES_GMAC;
    job.u.GCM.aad = op.associated;
    job.u.GCM.aad_len_in_bytes = op.associated_length;
  } else {
    job.cipher_mode = IMB_CIPHER_CHACHA20_POLY1305;
    job.hash_alg = IMB_AUTH_CHACHA20_POLY1305;
    job.u.CHACHA20_POLY1305.aad = op.associated;
    job.u.CHACHA20_POLY1305.aad_len_in_bytes = op.associated_length;
  }
}

void JobEngine::run(std::span<AeadOp> ops, IMB_CIPHER_DIRECTION direction) noexcept {
  for (size_t i = 0; i < ops.size(); ++i) {
    fill(*IMB_GET_NEXT_JOB(manager_.get()), ops[i], i, direction);
    IMB_SUBMIT_JOB_NOCHECK(manager_.get());
  }
  while (IMB_FLUSH_JOB(manager_.get()) != nullptr) continue;
}

void BurstEngine::run(std::span<AeadOp> ops, IMB_CIPHER_DIRECTION direction) noexcept {
  std::array<IMB_JOB*, kBurst> jobs;
  const auto count = static_cast<uint32_t>(ops.size());
  uint32_t done = IMB_GET_NEXT_BURST(manager_.get(), count, jobs.data());
  for (size_t i = 0; i < done; ++i) fill(*jobs[i], ops[i], i, direction);
  done = IMB_SUBMIT_BURST_NOCHECK(manager_.get(), done, jobs.data());
  while (done < count) done += IMB_FLUSH_BURST(manager_.get(), count - done, jobs.data());
}

}  // namespace sky::perf
