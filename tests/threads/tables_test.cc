// What a worker reads while the main core changes it: an object behind an index, retired through its grace period; the
// two copies of a map; a rule of the route table.
#include "dataplane/tables/index_table.h"
#include "dataplane/tables/quiescence.h"
#include "dataplane/tables/route_table.h"
#include "dataplane/tables/two_copies.h"
#include "tests/threads/two_threads.h"

namespace sky::test {
namespace {

using dataplane::IndexTable;
using dataplane::Quiescence;
using dataplane::RouteTable;
using dataplane::TwoCopies;

using Object = Numbered<15>;

/// A worker's turns of 32 looks, asleep now and then; `look` returns false when what it saw was not whole.
template <typename Look>
uint64_t work(Quiescence& quiescence, Pace& pace, Look look) {
  uint64_t wrong = 0;
  quiescence.online(0);
  for (uint64_t i = 0; !pace.enough(i); ++i) {
    wrong += !look(i);
    if (i % 32 != 31) continue;
    quiescence.quiescent(0);
    if (i % 65536 != 65535) continue;
    quiescence.offline(0);
    std::this_thread::yield();
    quiescence.online(0);
  }
  quiescence.offline(0);
  pace.finish();
  return wrong;
}

TEST(Grace, WhatWasTakenOutOfATableIsFreedOnlyWhenNoWorkerSeesIt) {
  constexpr uint32_t kObjects = 8;
  Quiescence quiescence(1);
  IndexTable<Object> table(kObjects);
  for (uint32_t i = 0; i < kObjects; ++i) table.set(i, new Object(Object::of(i)));
  Pace pace;
  uint64_t wrong = 0, retired = 0, freed = 0;
  two_threads(
      [&] {
        for (uint64_t turn = 1; pace.goes_on(); ++turn, pace.turn()) {
          quiescence.begin(turn);
          Object* old = table.find(turn % kObjects);
          table.set(turn % kObjects, new Object(Object::of(turn)));
          ++retired;
          quiescence.retire([old, &freed] {
            *old = {};  // who still looks finds it not whole
            delete old;
            ++freed;
          });
          quiescence.end();
        }
      },
      [&] { wrong = work(quiescence, pace, [&](uint64_t i) { return table.find(i % kObjects)->whole(); }); });
  EXPECT_EQ(0u, wrong);
  EXPECT_GT(freed, 0u) << "all of it waited until the end: nothing was shown";
  quiescence.drain();
  EXPECT_EQ(retired, freed);
}

TEST(TwoCopies, AWorkerSeesOneOrTheOtherAndNeitherBeingWritten) {
  Quiescence quiescence(1);
  TwoCopies<Object> map;
  map.both() = {Object::of(0), Object::of(0)};
  Pace pace;
  uint64_t wrong = 0, newest = 0, swaps = 0;
  two_threads(
      [&] {
        for (; pace.goes_on(); ++swaps, pace.turn()) {
          map.hidden() = Object::of(swaps + 1);
          map.swap([&] { quiescence.wait(); });
          map.hidden() = Object::of(swaps + 1);
        }
      },
      [&] {
        wrong = work(quiescence, pace, [&](uint64_t) {
          const Object& shown = map.shown();
          const bool rises = shown.sequence >= newest;
          newest = shown.sequence;
          return rises && shown.whole();
        });
      });
  EXPECT_EQ(0u, wrong);
  EXPECT_GT(newest, 0u) << "no change was seen: nothing was shown";
  EXPECT_LE(newest, swaps);
}

/// All words of a rule follow from `sequence`; its head stays that of one route.
RuleMessage rule_of(RuleAction action, uint64_t sequence) {
  const auto low = static_cast<uint32_t>(sequence);
  RuleMessage put;
  put.rule = {.route_id = RouteId{5},
              .in_link = LinkIndex{1},
              .action = action,
              .treatment = 1,
              .next_link = LinkIndex{static_cast<uint16_t>(low)},
              .alternate_link = LinkIndex{static_cast<uint16_t>(low * 3)},
              .next_route = RouteId{low * 5},
              .alternate_route = RouteId{low},
              .twin = RouteId{low * 7},
              .session = SessionIndex{low},
              .stream = static_cast<uint16_t>(low),
              .streams = static_cast<uint8_t>(low * 9),
              .worker = static_cast<uint8_t>(low * 11)};
  return put;
}

bool next_is_whole(const dataplane::RuleNext& next) {
  const uint32_t low = to_underlying(next.route) * 0xcccccccd;  // its inverse modulo 2^32: times 5 is 1
  return to_underlying(next.link) == static_cast<uint16_t>(low) &&
         to_underlying(next.alternate_link) == static_cast<uint16_t>(low * 3);
}
bool end_is_whole(const dataplane::End& end) {
  return end.stream == static_cast<uint16_t>(to_underlying(end.session)) &&
         end.streams == static_cast<uint8_t>(to_underlying(end.session) * 9) &&
         end.worker == static_cast<uint8_t>(to_underlying(end.session) * 11);
}
bool back_is_whole(const dataplane::RuleBack& back) {
  return to_underlying(back.twin) == to_underlying(back.alternate_route) * 7;
}

void put_and_look(RuleAction action) {
  RouteTable table(16);
  Pace pace;
  uint64_t wrong = 0, seen = 0, missed = 0;
  two_threads(
      [&] {
        for (uint64_t i = 0; pace.goes_on(); ++i, pace.turn()) {
          if (i % 8 == 7) {
            table.erase(RouteId{5});
          } else {
            table.put(rule_of(action, i));
          }
        }
      },
      [&] {
        for (uint64_t i = 0; !pace.enough(i) || seen == 0 || missed == 0; ++i) {
          const dataplane::RuleFront& rule = table.view().at(RouteId{5});
          const dataplane::RuleHead head = dataplane::head_of(rule);
          if (!dataplane::is_for(head, RouteId{5}, LinkIndex{1})) {
            wrong += dataplane::why_not(head, RouteId{5}) != Drop::unknown_route;
            ++missed;
            continue;
          }
          wrong += action == RuleAction::forward ? !next_is_whole(next_of(rule)) : !end_is_whole(end_of(rule));
          wrong += !back_is_whole(table.view().back(RouteId{5}));
          ++seen;
        }
        pace.finish();
      });
  EXPECT_EQ(0u, wrong);
}

TEST(RouteTable, ARuleThatIsPutAnewOrDeletedIsSeenWholeByWords) {
  put_and_look(RuleAction::forward);
  put_and_look(RuleAction::consume);
}

}  // namespace
}  // namespace sky::test
