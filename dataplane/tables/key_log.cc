#include "dataplane/tables/key_log.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <span>
#include <utility>

#include "dataplane/base/log.h"

namespace sky::dataplane {
namespace {

constexpr int kModeOwner = 0600;

std::string hex(std::span<const uint8_t> bytes) {
  return fmt::format("{:02x}", fmt::join(bytes, ""));
}

std::string tail(unsigned epoch, const LoggedKey& key) {
  return fmt::format("{:02x} {} {} {}\n", epoch, hex(key.key.key), hex(key.key.salt),
                     key.suite == Suite::aes_256_gcm ? "aes-256-gcm" : "chacha20-poly1305");
}

}  // namespace

Result<std::unique_ptr<KeyLog>> KeyLog::open(const std::string& path) {
  const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, kModeOwner);
  if (file < 0 || fchmod(file, kModeOwner) != 0) {
    const int why = errno;
    if (file >= 0) close(file);
    return fail("dataplane.key_log: {}: {}", path, std::strerror(why));
  }
  log_warning("keys are written to {}: whoever reads it reads everything", path);
  return std::unique_ptr<KeyLog>(new KeyLog(file));
}

KeyLog::~KeyLog() {
  close(file_);
}

void KeyLog::link(uint32_t index, const LoggedKey& key) {
  write(fmt::format("link {} {}", index, tail(key.epoch, key)));
}

void KeyLog::session(uint64_t id, const LoggedKey& key) {
  write(fmt::format("session {:016x} {}", id, tail(key.slot, key)));
}

void KeyLog::write(const std::string& line) {
  const ssize_t written = ::write(file_, line.data(), line.size());
  const int why = errno;
  const bool fails = written != static_cast<ssize_t>(line.size());
  if (fails && !std::exchange(failed_, true)) log_warning("a key is not logged: {}", std::strerror(why));
}

}  // namespace sky::dataplane
