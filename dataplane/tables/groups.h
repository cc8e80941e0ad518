// Groups: at the ingress, up to eight members (circuit, end node, session) for one destination. Members are one
// immutable view behind a pointer; what lives (probe state, flow buckets) stays with the group, so a put never resets
// it.
//
// `pin`: a flow hashes to one of 256 buckets and a bucket keeps its member while that lives. A bucket is assigned when
// its member died or nobody used it for a second: by weight among live members, standbys (weight 0) only when no other
// lives. The owner of a member's link probes it; each worker has buckets of its own.
//
// `copy`: while two members live that share copied streams, packets up to a rate go over both; else as `pin`.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "dataplane/protocol/install.h"
#include "dataplane/protocol/stats_page.h"
#include "dataplane/tables/links.h"
#include "dataplane/tables/sessions.h"

namespace sky::dataplane {

struct Member {
  MemberMessage put;
  Link* link;
  Link* alternate;  ///< nullptr: none
  Session* session;

  bool usable() const { return link->usable() || (alternate != nullptr && alternate->usable()); }
};

/// The first hop to take now: the member's link, or its alternate while only that is up.
struct FirstHop {
  Link* link;
  RouteId route;
};
inline FirstHop first_hop(const Member& member) {
  if (member.link->usable() || member.alternate == nullptr || !member.alternate->usable())
    return {member.link, member.put.route};
  return {member.alternate, member.put.alternate_route};
}

/// As put; replaced whole by one pointer. `present` has a bit per slot.
struct GroupView {
  GroupMessage put;
  uint8_t present = 0;
  std::array<Member, kMaxMembers> members;

  bool has(unsigned slot) const { return (present >> slot & 1) != 0; }
};

/// A member's life, judged by end-to-end probes and lists of dead routes. The owner of its link: rw.
struct MemberLife {
  std::atomic<bool> live = false;      ///< main core may clear it (a list of dead routes came)
  std::atomic<uint32_t> answered = 0;  ///< probes in a row; the same
  uint32_t lost = 0;                   ///< probes in a row without an answer since
  CircuitId circuit{};                 ///< whose life this is: another circuit in the slot starts anew
  uint64_t next_probe_ns = 0;
  uint64_t probed_ns = 0;         ///< last probe sent
  uint64_t waiting_since_ns = 0;  ///< the first probe since the last answer; 0: none is out
  uint64_t rtt_ns = 0;            ///< of the last answer; 0: none came yet
  bool untold = false;            ///< its life changed, and the control plane was not told yet
};

inline constexpr unsigned kBuckets = 256;
inline constexpr uint8_t kNoMember = 0xff;

struct Bucket {
  uint32_t used_ms = 0;
  uint8_t member = kNoMember;
};

/// How many packets of a group go twice: `rate` a second in the long run, a millisecond's worth at once (at least a
/// burst of 64). Exact: what is owed is counted in packets times nanoseconds.
class CopyBudget {
 public:
  bool take(uint32_t rate, uint64_t now_ns) noexcept {
    constexpr uint64_t kPacket = 1'000'000'000;
    const uint64_t passed_ns = std::min<uint64_t>(now_ns - at_ns_, 1'000'000'000);
    at_ns_ = now_ns;
    owed_ -= std::min(owed_, passed_ns * rate);
    if (owed_ + kPacket > std::max<uint64_t>(rate / 1000, 64) * kPacket) return false;
    owed_ += kPacket;
    return true;
  }

 private:
  uint64_t owed_ = 0;
  uint64_t at_ns_ = 0;
};

struct GroupWorker {
  std::array<Bucket, kBuckets> buckets;
  CopyBudget copies;
  uint64_t missed_ns = 0;             ///< when the control plane was last told of a miss
  std::atomic<uint64_t> used_ns = 0;  ///< last packet; this worker: rw, who probes: ro

  Bucket& bucket_of(uint32_t flow_hash) { return buckets[flow_hash % kBuckets]; }
};

/// Where a packet's look-up goes on stands in the first line.
struct alignas(64) Group {
  explicit Group(unsigned count) : workers(count) {}

  GroupIndex index{};
  std::atomic<const GroupView*> view = nullptr;  ///< main: rw, worker: ro
  std::vector<GroupWorker> workers;              ///< [worker]
  std::array<MemberLife, kMaxMembers> lives;

  ~Group() { delete view.load(std::memory_order_relaxed); }

  bool live(const GroupView& at, unsigned slot) const {
    return at.has(slot) && lives[slot].live.load(std::memory_order_relaxed) && at.members[slot].usable();
  }
};

/// By weight among live members: `ticket` picks; where none has a weight, the first live standby.
uint8_t assign_member(const Group& group, const GroupView& view, uint32_t ticket) noexcept;

/// The member for a flow, or kNoMember. Cost: one bucket; a pass over the members when it is assigned anew.
inline uint8_t pick_member(const Group& group, const GroupView& view, GroupWorker& mine, uint32_t flow_hash,
                           uint64_t now_ns) noexcept {
  constexpr uint32_t kBucketIdleMs = 1000;
  Bucket& bucket = mine.bucket_of(flow_hash);
  const auto now_ms = static_cast<uint32_t>(now_ns / 1'000'000);
  const bool keeps =
      bucket.member != kNoMember && group.live(view, bucket.member) && now_ms - bucket.used_ms < kBucketIdleMs;
  if (!keeps) [[unlikely]]
    bucket.member = assign_member(group, view, flow_hash / kBuckets);
  bucket.used_ms = now_ms;
  return bucket.member;
}

struct CopyPair {
  uint8_t first = kNoMember;
  uint8_t second = kNoMember;  ///< kNoMember: there is no pair
};
/// Mode copy: of the live members with copied streams the one with the most weight, and another one with the same
/// streams; whatever flow, so that none stays with a member that was taken while these were dead. Cost: two passes over
/// the members.
CopyPair copy_pair(const Group& group, const GroupView& view) noexcept;

}  // namespace sky::dataplane
