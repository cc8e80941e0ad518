// Tables, the part that puts groups and their members: a view each, replaced whole.
#include <algorithm>

#include "dataplane/tables/tables.h"

namespace sky::dataplane {

namespace {

uint32_t member_word(const MemberMessage& member) {
  return to_underlying(member.group) * kMaxMembers + member.slot + 1;
}

}  // namespace

void Tables::replace_view(Group& group, std::unique_ptr<GroupView> view) {
  if (const GroupView* old = group.view.exchange(view.release(), std::memory_order_acq_rel)) {
    quiescence_.retire([old] { delete old; });
  }
}

void Tables::show(Group& group, uint8_t slots) {
  auto view = std::make_unique<GroupView>(*group.view.load(std::memory_order_relaxed));
  view->present |= slots;
  replace_view(group, std::move(view));
}

void Tables::hide(Group& group, uint8_t slots) {
  auto view = std::make_unique<GroupView>(*group.view.load(std::memory_order_relaxed));
  view->present &= static_cast<uint8_t>(~slots);
  replace_view(group, std::move(view));
}

std::vector<std::pair<Group*, uint8_t>> Tables::members_by(const Link& link) const {
  std::vector<std::pair<Group*, uint8_t>> found;
  for (const uint32_t index : group_indices_) {
    Group* group = groups.find(index);
    const GroupView& view = *group->view.load(std::memory_order_relaxed);
    uint8_t slots = 0;
    for (unsigned slot = 0; slot < kMaxMembers; ++slot) {
      if (view.has(slot) && view.members[slot].link == &link) slots |= static_cast<uint8_t>(1u << slot);
    }
    if (slots != 0) found.emplace_back(group, slots);
  }
  return found;
}

void Tables::put_group(const GroupMessage& message) {
  const uint32_t index = to_underlying(message.group);
  Group* group = groups.find(index);
  const bool fresh = group == nullptr;
  if (fresh) {
    group = new Group(config_.workers);
    group->index = message.group;
  }
  const GroupView* old = group->view.load(std::memory_order_relaxed);
  auto view = old == nullptr ? std::make_unique<GroupView>() : std::make_unique<GroupView>(*old);
  view->put = message;
  replace_view(*group, std::move(view));
  if (!fresh) return;
  groups.set(index, group);
  group_indices_.insert(index);
  timed_stale_ = true;
}

void Tables::put_member(const MemberMessage& message) {
  Group& group = *groups.find(to_underlying(message.group));
  Session* session = sessions.find(to_underlying(message.session));
  const auto add = [&](unsigned stream) {
    page_of(*session, stream);
    if (std::ranges::find(session->send_streams, stream) == session->send_streams.end())
      session->send_streams.push_back(static_cast<uint16_t>(stream));
  };
  for (unsigned worker = 0; worker < config_.workers; ++worker) {
    add(message.stream + worker);
    if (message.copied != 0) add(copied_streams(message.copied).stream + worker);
  }
  Link* link = links.find(to_underlying(message.link));
  auto view = std::make_unique<GroupView>(*group.view.load(std::memory_order_relaxed));
  if (view->has(message.slot)) {
    const Member& before = view->members[message.slot];
    forget_consume(before.put);
    if (before.link->owner() != link->owner()) leave_to_another(group, message.slot);
  }
  Link* alternate = message.alternate_link == kNoLink ? nullptr : links.find(to_underlying(message.alternate_link));
  view->members[message.slot] = {message, link, alternate, session};
  view->present |= static_cast<uint8_t>(1u << message.slot);
  member_of(message.consume).store(member_word(message), std::memory_order_relaxed);
  if (message.alternate_link != kNoLink)
    member_of(message.alternate_consume).store(member_word(message), std::memory_order_relaxed);
  replace_view(group, std::move(view));
  timed_stale_ = true;  // a circuit comes to life at once: packets may wait for it
}

/// The slot's member goes, and its worker with it, before one of another worker comes.
void Tables::leave_to_another(Group& group, uint8_t slot) {
  const unsigned before = group.view.load(std::memory_order_relaxed)->members[slot].link->owner();
  hide(group, static_cast<uint8_t>(1u << slot));
  quiescence_.wait();
  stats.member(group.index, slot, before).rtt_ns.set(0);
}

void Tables::forget_consume(const MemberMessage& member) {
  // Another slot may have taken the circuit over: puts come before deletes.
  const auto forget = [&](RouteId consume) {
    std::atomic<uint32_t>& word = member_of(consume);
    if (word.load(std::memory_order_relaxed) == member_word(member)) word.store(0, std::memory_order_relaxed);
  };
  forget(member.consume);
  if (member.alternate_link != kNoLink) forget(member.alternate_consume);
}

void Tables::delete_member(GroupIndex index, uint8_t slot) {
  Group& group = *groups.find(to_underlying(index));
  forget_consume(group.view.load(std::memory_order_relaxed)->members[slot].put);
  hide(group, static_cast<uint8_t>(1u << slot));
}

void Tables::delete_group(GroupIndex index) {
  Group* group = groups.find(to_underlying(index));
  groups.set(to_underlying(index), nullptr);
  group_indices_.erase(to_underlying(index));
  retire(group);
  timed_stale_ = true;
}

std::optional<MemberMessage> Tables::member(GroupIndex index, uint8_t slot) const {
  const Group* group = groups.find(to_underlying(index));
  if (group == nullptr || slot >= kMaxMembers) return std::nullopt;
  const GroupView& view = *group->view.load(std::memory_order_relaxed);
  if (!view.has(slot)) return std::nullopt;
  return view.members[slot].put;
}

}  // namespace sky::dataplane
