#include "dataplane/agent/values.h"

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstring>
#include <span>

#include "dataplane/protocol/counters.h"
#include "dataplane/protocol/frame.h"
#include "dataplane/protocol/watch.h"

namespace sky::dataplane {
namespace {

constexpr uint16_t kLeastMtu = 576;
constexpr uint16_t kLargestMtu = 9216;
constexpr uint16_t kLeastEtherType = 0x0600;
constexpr uint8_t kLeastHopLimit = 40;
constexpr uint8_t kLargestHopLimit = 64;
constexpr uint32_t kLeastIntervalUs = 1'000;
constexpr uint32_t kLargestIntervalUs = 1'000'000;
constexpr uint32_t kLargestProbeUs = 10'000'000;
constexpr uint32_t kLargestHoldMs = 60'000;

constexpr InstallError ok_if(bool good) {
  return good ? InstallError::none : InstallError::bad_value;
}

template <typename T>
constexpr bool within(T value, T least, T most) {
  return value >= least && value <= most;
}

constexpr bool is_one_of(Suites offered, Suite suite) {
  return std::has_single_bit(to_underlying(suite)) && (offered & to_underlying(suite)) != 0;
}

/// The control queue is no circuit's.
constexpr bool is_circuit_treatment(uint8_t value) {
  return is_treatment(value) && (value & kTreatmentQueue) != 0;
}

/// No bit past the prefix length is set: two prefixes are the same when their bytes are.
bool is_prefix(Family family, uint8_t length, const Ipv6Address& prefix) {
  if (family != Family::ipv4 && family != Family::ipv6) return false;
  if (length > (family == Family::ipv4 ? 32 : 128)) return false;
  for (unsigned byte = 0; byte < prefix.size(); ++byte) {
    const unsigned kept = std::clamp<int>(length - 8 * static_cast<int>(byte), 0, 8);
    if ((prefix[byte] & (0xff >> kept)) != 0) return false;
  }
  return true;
}

InstallError check_link(const LinkMessage& link, const Capacities& capacities) {
  if (to_underlying(link.link) >= capacities.links || to_underlying(link.port) >= capacities.ports) {
    return InstallError::bad_index;
  }
  return ok_if(link.ether_type >= kLeastEtherType &&
               FrameKind{link.least_kind} <= (capacities.laboratory ? FrameKind::clear : FrameKind::header) &&
               link.kind <= link.least_kind && within<uint8_t>(link.lanes, 1, kMaxLanes) &&
               within<uint8_t>(link.multiplier, 2, 10) &&
               within(link.interval_us, kLeastIntervalUs, kLargestIntervalUs) && link.hold_ms <= kLargestHoldMs &&
               within(link.mtu, kLeastMtu, kLargestMtu));
}

/// Reads the secret where it lies: what is copied would have to be wiped.
bool has_secret(const InstallMessage& message) {
  constexpr size_t kAt = offsetof(KeyChainMessage, secret) - offsetof(InstallMessage, body);
  return std::ranges::any_of(std::span(message.body).subspan<kAt, sizeof(KeyChainMessage::secret)>(),
                             [](uint8_t byte) { return byte != 0; });
}

InstallError check_key_chain(const InstallMessage& message, const Capacities& capacities) {
  KeyChainMessage chain;
  std::memcpy(static_cast<void*>(&chain), &message, offsetof(KeyChainMessage, secret));
  if (chain.owner != KeyOwner::link && chain.owner != KeyOwner::session) return InstallError::bad_value;
  if (chain.index >= (chain.owner == KeyOwner::link ? capacities.links : capacities.sessions)) {
    return InstallError::bad_index;
  }
  // A secret of zeros is a message that its writer never finished.
  return ok_if((chain.direction == Direction::receive || chain.direction == Direction::send) && chain.parity <= 1 &&
               chain.wait_for_peer <= 1 && is_one_of(capacities.suites, chain.suite) && chain.key_id != 0 &&
               has_secret(message));
}

InstallError check_forward(const Rule& rule, const Capacities& capacities) {
  const bool protects = rule.alternate_link != kNoLink;
  if (to_underlying(rule.next_link) >= capacities.links) return InstallError::bad_index;
  if (protects && to_underlying(rule.alternate_link) >= capacities.links) return InstallError::bad_index;
  return ok_if(rule.next_route != kControlRoute && (!protects || rule.alternate_route != kControlRoute));
}

InstallError check_consume(const Rule& rule, const Capacities& capacities) {
  if (to_underlying(rule.session) >= capacities.sessions) return InstallError::bad_index;
  return ok_if(rule.next_link == kNoLink && rule.alternate_link == kNoLink && rule.streams >= 1 &&
               rule.worker < capacities.workers && rule.stream + rule.streams <= kStreams);
}

/// Of a rule's or member's copied streams; kMaxLanes of them end before the last stream.
bool is_copied_word(uint16_t word) {
  const CopiedStreams copied = copied_streams(word);
  return word == 0 || (within(copied.window, kLeastCopyWindow, kMostCopyWindow) && copied.stream < kStreams);
}

InstallError check_rule(const RuleMessage& put, const Capacities& capacities) {
  const Rule& rule = put.rule;
  if (to_underlying(rule.in_link) >= capacities.links) return InstallError::bad_index;
  if (rule.route_id == kControlRoute || !is_circuit_treatment(rule.treatment)) return InstallError::bad_value;
  const bool realtime = (rule.treatment & kTreatmentQueue) == to_underlying(Queue::realtime);
  if (realtime != (put.rate_kbit_s != 0)) return InstallError::bad_value;
  const bool may_copy = rule.action == RuleAction::consume && rule.streams <= kMaxLanes && is_copied_word(put.copied);
  if (put.copied != 0 && !may_copy) return InstallError::bad_value;
  if (rule.action == RuleAction::forward) return check_forward(rule, capacities);
  if (rule.action == RuleAction::consume) return check_consume(rule, capacities);
  return InstallError::bad_value;
}

InstallError check_group(const GroupMessage& group, const Capacities& capacities) {
  if (to_underlying(group.group) >= capacities.groups) return InstallError::bad_index;
  const bool copies = group.mode == GroupMode::copy;
  return ok_if((copies || group.mode == GroupMode::pin) && copies == (group.copy_rate != 0) &&
               group.copy_rate <= kMostCopyRate && group.until_up == UntilUp::drop &&
               within<uint8_t>(group.probe_multiplier, 2, 10) &&
               within(group.probe_interval_us, kLeastIntervalUs, kLargestProbeUs));
}

InstallError check_member(const MemberMessage& member, const Capacities& capacities) {
  if (member.slot >= kMaxMembers || to_underlying(member.group) >= capacities.groups ||
      to_underlying(member.link) >= capacities.links || to_underlying(member.session) >= capacities.sessions) {
    return InstallError::bad_index;
  }
  const bool protects = member.alternate_link != kNoLink;
  if (protects && to_underlying(member.alternate_link) >= capacities.links) return InstallError::bad_index;
  return ok_if(within(member.hop_limit, kLeastHopLimit, kLargestHopLimit) && member.route != kControlRoute &&
               member.consume != kControlRoute && member.stream + capacities.workers <= kStreams &&
               is_copied_word(member.copied) &&
               (!protects || (member.alternate_route != kControlRoute && member.alternate_consume != kControlRoute)) &&
               within(member.mtu, kLeastMtu, kLargestMtu) && is_circuit_treatment(member.treatment));
}

InstallError check_destination(const DestinationMessage& destination, const Capacities& capacities) {
  if (destination.group != kLocalGroup && to_underlying(destination.group) >= capacities.groups) {
    return InstallError::bad_index;
  }
  return ok_if(is_prefix(destination.family, destination.length, destination.prefix));
}

InstallError check_below(uint32_t index, uint32_t capacity) {
  return index < capacity ? InstallError::none : InstallError::bad_index;
}

}  // namespace

InstallError check_watch(const WatchMessage& watch, const Capacities& capacities) {
  constexpr uint8_t kFrames = kWatchRx | kWatchTx | kWatchDropped | kWatchOpened;
  constexpr uint8_t kMatches = kMatchPort | kMatchLink | kMatchRoute | kMatchType | kMatchReason;
  if (watch.count == 0) return InstallError::none;
  if ((watch.matches & kMatchPort) != 0 && to_underlying(watch.port) >= capacities.ports)
    return InstallError::bad_index;
  if ((watch.matches & kMatchLink) != 0 && to_underlying(watch.link) >= capacities.links)
    return InstallError::bad_index;
  return ok_if(((watch.points == kWatchStages && watch.count <= kMostNumbered) ||
                (watch.points != 0 && (watch.points & ~kFrames) == 0)) &&
               (watch.matches & ~kMatches) == 0 && watch.reason < kDropReasons);
}

InstallError check_value(const InstallMessage& message, const Capacities& capacities) {
  switch (message.verb) {
    case Verb::put_link:
      return check_link(message.as<LinkMessage>(), capacities);
    case Verb::put_key_chain:
      return check_key_chain(message, capacities);
    case Verb::put_session:
      return check_below(to_underlying(message.as<SessionMessage>().session), capacities.sessions);
    case Verb::put_rule:
      return check_rule(message.as<RuleMessage>(), capacities);
    case Verb::put_group:
      return check_group(message.as<GroupMessage>(), capacities);
    case Verb::put_member:
      return check_member(message.as<MemberMessage>(), capacities);
    case Verb::put_destination:
      return check_destination(message.as<DestinationMessage>(), capacities);
    default:
      break;
  }
  const auto gone = message.as<DeleteMessage>();
  switch (message.verb) {
    case Verb::delete_link:
      return check_below(gone.index, capacities.links);
    case Verb::delete_session:
      return check_below(gone.index, capacities.sessions);
    case Verb::delete_rule:
      return ok_if(gone.index != to_underlying(kControlRoute));
    case Verb::delete_group:
      return check_below(gone.index, capacities.groups);
    case Verb::delete_member:
      return gone.slot < kMaxMembers ? check_below(gone.index, capacities.groups) : InstallError::bad_index;
    case Verb::delete_destination:
      return ok_if(is_prefix(gone.family, gone.length, gone.prefix));
    default:
      return InstallError::unknown_verb;
  }
}

}  // namespace sky::dataplane
