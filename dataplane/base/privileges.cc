#include "dataplane/base/privileges.h"

#include <pwd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>

namespace sky {
namespace {

using Capabilities = std::unique_ptr<std::remove_pointer_t<cap_t>, int (*)(void*)>;

uint64_t mask_of(std::span<const cap_value_t> capabilities) {
  uint64_t mask = 0;
  for (const cap_value_t each : capabilities) mask |= uint64_t{1} << each;
  return mask;
}

/// Permitted capabilities and name of a thread, as /proc has them.
std::pair<uint64_t, std::string> look_at(const std::filesystem::path& thread) {
  std::ifstream file(thread / "status");
  std::string word, name;
  uint64_t permitted = 0;
  while (file >> word) {
    if (word == "Name:") file >> name;
    if (word == "CapPrm:") file >> std::hex >> permitted >> std::dec;
  }
  return {permitted, name};
}

}  // namespace

Result<> keep_capabilities(std::span<const cap_value_t> kept) {
  const Capabilities now(cap_get_proc(), cap_free);
  const Capabilities then(cap_init(), cap_free);
  if (!now || !then) return fail("capabilities: {}", std::strerror(errno));
  for (const cap_value_t each : kept) {
    cap_flag_value_t have = CAP_CLEAR;
    cap_get_flag(now.get(), each, CAP_PERMITTED, &have);
    for (const cap_flag_t flag : {CAP_PERMITTED, CAP_EFFECTIVE}) cap_set_flag(then.get(), flag, 1, &each, have);
  }
  cap_flag_value_t may_bound = CAP_CLEAR;
  cap_get_flag(now.get(), CAP_SETPCAP, CAP_EFFECTIVE, &may_bound);
  for (cap_value_t each = 0; may_bound == CAP_SET && CAP_IS_SUPPORTED(each); ++each) {
    if (std::ranges::find(kept, each) == kept.end()) cap_drop_bound(each);
  }
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || cap_reset_ambient() != 0 || cap_set_proc(then.get()) != 0) {
    return fail("capabilities: cannot give any up: {}", std::strerror(errno));
  }
  return {};
}

std::string privileged_threads(std::span<const cap_value_t> kept) {
  std::string names;
  std::error_code error;
  for (const auto& thread : std::filesystem::directory_iterator("/proc/self/task", error)) {
    const auto [permitted, name] = look_at(thread.path());
    if ((permitted & ~mask_of(kept)) != 0) names += (names.empty() ? "" : " ") + name;
  }
  return names;
}

bool unlimited_locked_memory() {
  const rlimit unlimited{RLIM_INFINITY, RLIM_INFINITY};
  if (setrlimit(RLIMIT_MEMLOCK, &unlimited) == 0) return true;
  rlimit limit{};
  return getrlimit(RLIMIT_MEMLOCK, &limit) == 0 && limit.rlim_cur == RLIM_INFINITY;
}

Result<std::optional<uid_t>> user_id(const UserName& user) {
  std::array<char, 16384> text;
  passwd entry{};
  passwd* found = nullptr;
  const int error = getpwnam_r(user.name.c_str(), &entry, text.data(), text.size(), &found);
  if (found != nullptr) return entry.pw_uid;
  if (!user.mark) return std::nullopt;
  return fail("user {}: {}; useradd --system {}", user.name,
              error == 0 ? "found none of that name on this machine" : std::strerror(error), user.name);
}

bool is_believed(uid_t peer, std::optional<uid_t> named) {
  return peer == 0 || peer == geteuid() || (named && peer == *named);
}

}  // namespace sky
