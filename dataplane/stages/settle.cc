#include "dataplane/stages/settle.h"

#include <cassert>

#include "dataplane/stages/observe.h"

namespace sky::dataplane {

namespace {

void free_one(Context& context, const Slot& slot, Counter counter) noexcept {
  context.count(counter);
  rte_pktmbuf_free(slot.mbuf);
}

}  // namespace

void settle(Context& context, Batch& batch, Stage stage, Batch* egress) noexcept {
  if (context.watch != nullptr) [[unlikely]]
    observe(context, batch, stage);
  unsigned kept = 0;
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
        free_one(context, slot, Counter::delivered_local);
        break;
      case Verdict::delivered:
        free_one(context, slot, Counter::delivered_tun);
        break;
      case Verdict::punted:
        free_one(context, slot, Counter::punted);
        break;
      case Verdict::held:
      case Verdict::handed:
        break;
      case Verdict::drop:
        context.count(slot.drop);
        rte_pktmbuf_free(slot.mbuf);
        break;
    }
  }
  batch.count = kept;
}

}  // namespace sky::dataplane
