#include "dataplane/base/key_file.h"

#include <fcntl.h>
#include <sodium.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string_view>

#include "dataplane/base/key_text.h"

namespace sky {
namespace {

class File {
 public:
  explicit File(int fd) : fd_(fd) {}
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  ~File() {
    if (fd_ >= 0) close(fd_);
  }
  int get() const { return fd_; }

 private:
  int fd_;
};

Result<SecretKey> parse_secret(const std::string& path, std::string_view text) {
  if (text.ends_with('\n')) text.remove_suffix(1);
  SecretKey key;
  if (decode_key(text, key.bytes())) return key;
  return fail("{}: found something else, wanted 32 bytes in base64 (44 characters)", path);
}

}  // namespace

SecretKey::SecretKey(SecretKey&& other) noexcept {
  *this = std::move(other);
}

SecretKey& SecretKey::operator=(SecretKey&& other) noexcept {
  if (this == &other) return *this;
  bytes_ = other.bytes_;
  sodium_memzero(other.bytes_.data(), other.bytes_.size());
  return *this;
}

SecretKey::~SecretKey() {
  sodium_memzero(bytes_.data(), bytes_.size());
}

Result<SecretKey> read_secret_key(const std::string& path) {
  const File file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (file.get() < 0) {
    return fail("{}: found {}, wanted a secret key (skyctl keygen makes one)", path, strerror(errno));
  }
  struct stat status {};
  if (fstat(file.get(), &status) != 0 || !S_ISREG(status.st_mode)) {
    return fail("{}: found something else, wanted a regular file", path);
  }
  if ((status.st_mode & 077) != 0) {
    return fail("{}: found mode {:04o}, wanted 0600: chmod 600 {}", path, status.st_mode & 07777, path);
  }
  char text[64] = {};
  const ssize_t size = read(file.get(), text, sizeof text);
  auto key = size < 0 ? Result<SecretKey>(fail("{}: found {}, wanted 44 characters", path, strerror(errno)))
                      : parse_secret(path, std::string_view(text, static_cast<size_t>(size)));
  sodium_memzero(text, sizeof text);
  return key;
}

Result<> write_secret_key(const std::string& path, const SecretKey& key) {
  const File file(open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (file.get() < 0) return fail("{}: found {}, wanted a new file", path, strerror(errno));
  KeyText text;
  encode_key(key.bytes(), text);
  text.back() = '\n';
  const bool written =
      write(file.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size()) && fsync(file.get()) == 0;
  sodium_memzero(text.data(), text.size());
  if (!written) {
    const int reason = errno;
    unlink(path.c_str());
    return fail("{}: found {}, wanted to write 45 bytes", path, strerror(reason));
  }
  return {};
}

Result<SecretKey> generate_secret_key() {
  if (sodium_init() < 0) return fail("libsodium: found no source of random bytes, wanted one");
  SecretKey key;
  randombytes_buf(key.bytes().data(), key.bytes().size());
  return key;
}

PublicKey public_key_of(const SecretKey& seed) {
  PublicKey key;
  std::array<uint8_t, crypto_sign_SECRETKEYBYTES> pair;
  crypto_sign_seed_keypair(key.data(), pair.data(), seed.bytes().data());
  sodium_memzero(pair.data(), pair.size());
  return key;
}

}  // namespace sky
