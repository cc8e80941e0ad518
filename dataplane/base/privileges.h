// Privileges: what a process needs to start and not to run, and whom it believes at the other end of a socket.
// Source: docs/operations.md, "systemd". No call here is for a worker that already forwards.
#pragma once

#include <sys/capability.h>
#include <sys/types.h>

#include <optional>
#include <span>
#include <string>

#include "dataplane/base/config.h"
#include "dataplane/base/result.h"

namespace sky {

/// The calling thread keeps those of its capabilities that are in `kept`, effective and permitted, and can never gain
/// one again: nothing is left inheritable, ambient or, where it may say so, in the bounding set, and no program that it
/// executes gets more than it has. Threads that it starts afterwards have the same; others are not touched.
Result<> keep_capabilities(std::span<const cap_value_t> kept);

/// Names of threads of this process that have a capability outside `kept`; empty when all is as it should be.
std::string privileged_threads(std::span<const cap_value_t> kept);

/// Locked memory without limit where this process may say so; false when there is one that only CAP_IPC_LOCK passes.
bool unlimited_locked_memory();

/// The ID of a user that a configuration names. Of one that stands there by default none, when there is no such user.
Result<std::optional<uid_t>> user_id(const UserName& user);

/// Root, this process's own user, or the one named.
bool is_believed(uid_t peer, std::optional<uid_t> named);

}  // namespace sky
