#include "dataplane/stages/settle.h"

#include <cassert>

#include "dataplane/stages/ended.h"
#include "dataplane/stages/observe.h"

namespace sky::dataplane {

namespace {

/// How many from the first on go to the next stage: most often all, and there is nothing to move.
unsigned go_on(Batch& batch) noexcept {
  constexpr ptrdiff_t kStep = 4;
  Slot* slot = batch.begin();
  Slot* const end = batch.end();
  for (; end - slot >= kStep; slot += kStep) {
    const bool all = slot[0].verdict == Verdict::next && slot[1].verdict == Verdict::next &&
                     slot[2].verdict == Verdict::next && slot[3].verdict == Verdict::next;
    if (!all) break;
    for (ptrdiff_t i = 0; i < kStep; ++i) slot[i].verdict = Verdict::drop;
  }
  for (; slot != end && slot->verdict == Verdict::next; ++slot) slot->verdict = Verdict::drop;
  return static_cast<unsigned>(slot - batch.begin());
}

/// The verdict is written behind the copy: a byte that was written just before could not be loaded with its neighbours.
void move(const Slot& from, Slot& to) noexcept {
  to = from;
  to.verdict = Verdict::drop;
}

}  // namespace

void settle(Context& context, Batch& batch, Stage stage, unsigned came, Batch* egress) noexcept {
  if (context.watch != nullptr) [[unlikely]]
    observe(context, batch, stage);
  unsigned kept = go_on(batch);
  if (kept == batch.count) return context.stage_clock.lap(context.stats, stage, came);

  Ended ended;
  const auto end = [&](const Slot& slot, Counter counter) {
    context.count(counter);
    ended.add(slot.mbuf);
  };
  for (unsigned i = kept; i < batch.count; ++i) {
    Slot& slot = batch.slots[i];
    switch (slot.verdict) {
      case Verdict::next:
        move(slot, batch.slots[kept++]);
        break;
      case Verdict::egress:
        assert(egress != nullptr && !egress->full());
        move(slot, egress->add());
        break;
      case Verdict::consumed:
        end(slot, Counter::delivered_local);
        break;
      case Verdict::delivered:
        end(slot, Counter::delivered_tun);
        break;
      case Verdict::punted:
        end(slot, Counter::punted);
        break;
      case Verdict::held:
      case Verdict::handed:
        break;
      case Verdict::drop:
        ended.drop(slot.mbuf, slot.drop);
        break;
    }
  }
  ended.finish(context);
  batch.count = kept;
  context.stage_clock.lap(context.stats, stage, came);
}

}  // namespace sky::dataplane
