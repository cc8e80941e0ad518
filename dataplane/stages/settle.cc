#include "dataplane/stages/settle.h"

#include <cassert>

#include "dataplane/stages/ended.h"
#include "dataplane/stages/observe.h"

namespace sky::dataplane {

void settle(Context& context, Batch& batch, Stage stage, Batch* egress) noexcept {
  if (context.watch != nullptr) [[unlikely]]
    observe(context, batch, stage);
  unsigned kept = 0;
  Ended ended;
  const auto end = [&](const Slot& slot, Counter counter) {
    context.count(counter);
    ended.add(slot.mbuf);
  };
  for (Slot& slot : batch) {
    switch (slot.verdict) {
      case Verdict::next:
        slot.verdict = Verdict::drop;
        if (&batch.slots[kept] != &slot) batch.slots[kept] = slot;
        ++kept;
        break;
      case Verdict::egress:
        assert(egress != nullptr && !egress->full());
        slot.verdict = Verdict::drop;
        egress->add() = slot;
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
}

}  // namespace sky::dataplane
