// A28's spy, for LD_PRELOAD into the programs under test: every secret that goes into or comes out of libsodium's key
// functions is written to the file SKYEDGE_KEY_SPY with its time, straight from the caller's memory. It keeps no copy,
// so what is found in the process afterwards is the process's own.
//
// A record: kind u8, bytes of secret u8, 6 zero, time u64 (CLOCK_MONOTONIC, ns), process u64, the secret.
#include <dlfcn.h>
#include <fcntl.h>
#include <sodium.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <ctime>

namespace {

enum class Kind : uint8_t {
  chain = 1,         ///< a chain's value, or its next one
  epoch_key = 2,     ///< derived from it
  static_dh = 3,     ///< this node's X25519 secret
  dh = 4,            ///< any other that is multiplied with
  agreed = 5,        ///< what a key agreement gave
  noise_key = 6,     ///< of a handshake's cipher state
  chaining_key = 7,  ///< of a handshake's HKDF
  peer_public = 8,   ///< no secret: a peer's static X25519 key
  own_public = 9,    ///< no secret: the other operand of the agreement that follows
};

struct Header {
  Kind kind;
  uint8_t bytes;
  uint8_t zero[6];
  uint64_t at_ns;
  uint64_t process;
};

void tell(Kind kind, const void* secret, size_t bytes) {
  static const char* const path = getenv("SKYEDGE_KEY_SPY");
  static const int file = path == nullptr ? -1 : open(path, O_WRONLY | O_APPEND | O_CLOEXEC | O_CREAT, 0600);
  if (file < 0) return;
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  Header header{.kind = kind,
                .bytes = static_cast<uint8_t>(bytes),
                .zero = {},
                .at_ns = static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec),
                .process = static_cast<uint64_t>(getpid())};
  const iovec parts[] = {{&header, sizeof(header)}, {const_cast<void*>(secret), bytes}};
  if (writev(file, parts, 2) < 0) abort();  // a spy that misses a key proves nothing
}

/// The function of that name in libsodium.
template <typename Function>
Function* real(const char* name, Function*) {
  void* found = dlsym(RTLD_NEXT, name);
  if (found == nullptr) abort();
  return reinterpret_cast<Function*>(found);
}

}  // namespace

// The names and arguments are libsodium's.
extern "C" {

int crypto_kdf_derive_from_key(unsigned char* subkey, size_t subkey_len, uint64_t subkey_id, const char* ctx,
                               const unsigned char* key) {
  static const auto call = real("crypto_kdf_derive_from_key", crypto_kdf_derive_from_key);
  const int done = call(subkey, subkey_len, subkey_id, ctx, key);
  if (subkey_id == 1) {
    tell(Kind::chain, key, crypto_kdf_KEYBYTES);
    tell(Kind::epoch_key, subkey, subkey_len);
  } else if (subkey_id == 3) {
    tell(Kind::chain, subkey, subkey_len);
  }
  return done;
}

int crypto_sign_ed25519_sk_to_curve25519(unsigned char* out, const unsigned char* ed25519) {
  static const auto call = real("crypto_sign_ed25519_sk_to_curve25519", crypto_sign_ed25519_sk_to_curve25519);
  const int done = call(out, ed25519);
  tell(Kind::static_dh, out, 32);
  return done;
}

int crypto_sign_ed25519_pk_to_curve25519(unsigned char* out, const unsigned char* ed25519) {
  static const auto call = real("crypto_sign_ed25519_pk_to_curve25519", crypto_sign_ed25519_pk_to_curve25519);
  const int done = call(out, ed25519);
  tell(Kind::peer_public, out, 32);
  return done;
}

int crypto_scalarmult_base(unsigned char* q, const unsigned char* n) {
  static const auto call = real("crypto_scalarmult_base", crypto_scalarmult_base);
  tell(Kind::dh, n, 32);
  return call(q, n);
}

int crypto_scalarmult(unsigned char* q, const unsigned char* n, const unsigned char* p) {
  static const auto call = real("crypto_scalarmult", crypto_scalarmult);
  tell(Kind::dh, n, 32);
  tell(Kind::own_public, p, 32);
  const int done = call(q, n, p);
  tell(Kind::agreed, q, 32);
  return done;
}

int crypto_aead_chacha20poly1305_ietf_encrypt(unsigned char* c, unsigned long long* clen, const unsigned char* m,
                                              unsigned long long mlen, const unsigned char* ad,
                                              unsigned long long adlen, const unsigned char* nsec,
                                              const unsigned char* npub, const unsigned char* k) {
  static const auto call = real("crypto_aead_chacha20poly1305_ietf_encrypt", crypto_aead_chacha20poly1305_ietf_encrypt);
  tell(Kind::noise_key, k, 32);
  return call(c, clen, m, mlen, ad, adlen, nsec, npub, k);
}

int crypto_aead_chacha20poly1305_ietf_decrypt(unsigned char* m, unsigned long long* mlen, unsigned char* nsec,
                                              const unsigned char* c, unsigned long long clen, const unsigned char* ad,
                                              unsigned long long adlen, const unsigned char* npub,
                                              const unsigned char* k) {
  static const auto call = real("crypto_aead_chacha20poly1305_ietf_decrypt", crypto_aead_chacha20poly1305_ietf_decrypt);
  tell(Kind::noise_key, k, 32);
  return call(m, mlen, nsec, c, clen, ad, adlen, npub, k);
}

int crypto_auth_hmacsha512_init(crypto_auth_hmacsha512_state* state, const unsigned char* key, size_t keylen) {
  static const auto call = real("crypto_auth_hmacsha512_init", crypto_auth_hmacsha512_init);
  tell(Kind::chaining_key, key, keylen);
  return call(state, key, keylen);
}

}  // extern "C"
