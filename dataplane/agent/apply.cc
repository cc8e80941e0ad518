#include "dataplane/agent/apply.h"

#include <sodium.h>

#include <cstring>

namespace sky::dataplane {
namespace {

/// A copy of a put_key_chain that leaves no secret behind on the stack.
struct ChainCopy {
  KeyChainMessage chain;

  explicit ChainCopy(const InstallMessage& message) {
    std::memcpy(static_cast<void*>(&chain), &message, sizeof(chain));
  }
  ChainCopy(const ChainCopy&) = delete;
  ChainCopy& operator=(const ChainCopy&) = delete;
  ~ChainCopy() { sodium_memzero(&chain, sizeof(chain)); }
};

class Application {
 public:
  Application(Messages messages, const Plan& plan, const TableView& view, Applier& applier, References& references)
      : messages_(messages), plan_(plan), view_(view), applier_(applier), references_(references) {}

  std::expected<void, Refusal> stage() {
    // Deletes first: they make room.
    each<DeleteMessage>(Verb::delete_destination,
                        [&](const DeleteMessage& gone) { applier_.stage_delete_destination(destination_of(gone)); });
    for (const uint32_t index : plan_.of(Verb::put_destination)) {
      if (applier_.stage_destination(messages_[index].as<DestinationMessage>())) continue;
      applier_.unstage_destinations();
      return std::unexpected(Refusal{index, InstallError::table_full});
    }
    return {};
  }

  void put() {
    each<LinkMessage>(Verb::put_link, [&](const LinkMessage& link) { applier_.put_link(link); });
    each<SessionMessage>(Verb::put_session, [&](const SessionMessage& session) { applier_.put_session(session); });
    for (const uint32_t index : plan_.of(Verb::put_key_chain))
      applier_.put_key_chain(ChainCopy(messages_[index]).chain);
    each<RuleMessage>(Verb::put_rule, [&](const RuleMessage& put) {
      forget(view_.rule(put.rule.route_id));
      references_.add(put.rule);
      applier_.put_rule(put);
    });
    each<GroupMessage>(Verb::put_group, [&](const GroupMessage& group) { applier_.put_group(group); });
    each<MemberMessage>(Verb::put_member, [&](const MemberMessage& member) {
      forget(view_.member(member.group, member.slot));
      references_.add(member);
      applier_.put_member(member);
    });
  }

  void publish() {
    if (plan_.of(Verb::put_destination).empty() && plan_.of(Verb::delete_destination).empty()) return;
    each<DestinationMessage>(Verb::put_destination, [&](const DestinationMessage& put) {
      forget(view_.destination(put));
      references_.add(put.group);
    });
    each<DeleteMessage>(Verb::delete_destination,
                        [&](const DeleteMessage& gone) { forget(view_.destination(destination_of(gone))); });
    applier_.publish_destinations();
  }

  void remove() {
    each<DeleteMessage>(Verb::delete_member, [&](const DeleteMessage& gone) {
      forget(view_.member(GroupIndex{gone.index}, gone.slot));
      applier_.delete_member(GroupIndex{gone.index}, gone.slot);
    });
    each<DeleteMessage>(Verb::delete_group,
                        [&](const DeleteMessage& gone) { applier_.delete_group(GroupIndex{gone.index}); });
    each<DeleteMessage>(Verb::delete_rule, [&](const DeleteMessage& gone) {
      forget(view_.rule(RouteId{gone.index}));
      applier_.delete_rule(RouteId{gone.index});
    });
    each<DeleteMessage>(Verb::delete_session,
                        [&](const DeleteMessage& gone) { applier_.delete_session(SessionIndex{gone.index}); });
    each<DeleteMessage>(Verb::delete_link, [&](const DeleteMessage& gone) {
      applier_.delete_link(LinkIndex{static_cast<uint16_t>(gone.index)});
    });
  }

 private:
  template <typename Message, typename Visit>
  void each(Verb verb, Visit visit) {
    const std::span<const uint32_t> indices = plan_.of(verb);
    for (size_t i = 0; i < indices.size(); ++i) {
      if (i + kRulesAhead < indices.size()) view_.prefetch(route_of(messages_[indices[i + kRulesAhead]]));
      visit(messages_[indices[i]].as<Message>());
    }
  }

  /// What stood (null, or nothing, when nothing did) no longer refers to anything.
  template <typename Standing>
  void forget(const Standing& standing) {
    if (standing) references_.remove(*standing);
  }

  Messages messages_;
  const Plan& plan_;
  const TableView& view_;
  Applier& applier_;
  References& references_;
};

}  // namespace

std::expected<void, Refusal> apply(Messages messages, const Plan& plan, const TableView& view, Applier& applier,
                                   References& references) {
  Application application(messages, plan, view, applier, references);
  if (auto staged = application.stage(); !staged) return staged;
  application.put();
  application.publish();
  application.remove();
  applier.finish();
  return {};
}

}  // namespace sky::dataplane
