// Buffers that end in one burst: whatever they are and wherever they come from, each goes home, each drop is counted.
#include "dataplane/stages/ended.h"

#include <gtest/gtest.h>

#include "tests/support/node.h"

namespace sky::test {
namespace {

using namespace dataplane;

TEST(Ended, EveryBufferGoesHomeAndEveryDropIsCounted) {
  Node node;
  rte_mempool* const pools[] = {node.port(0).port().pool(), node.port(1).port().pool()};
  const unsigned at_home[] = {rte_mempool_avail_count(pools[0]), rte_mempool_avail_count(pools[1])};
  ASSERT_NE(pools[0], pools[1]);
  const auto take = [&](unsigned pool) { return rte_pktmbuf_alloc(pools[pool]); };
  rte_mbuf* in_pieces = take(0);
  ASSERT_EQ(0, rte_pktmbuf_chain(in_pieces, take(1)));
  rte_mbuf* kept = take(0);
  rte_mbuf_refcnt_update(kept, 1);

  Ended ended;
  Context& context = node.worker().context();
  ended.drop(in_pieces, Drop::frame_chained);
  ended.drop(take(0), Drop::not_skywire);
  ended.drop(take(1), Drop::unknown_link);
  ended.drop(kept, Drop::not_skywire);
  ended.add(take(0));
  ended.drop(take(0), Drop::frame_chained);
  ended.finish(context);
  ended.drop(take(1), Drop::port_full);  // anew, of the other pool
  ended.finish(context);

  EXPECT_EQ((Change{.frame_chained = 2, .not_skywire = 2, .unknown_link = 1, .port_full = 1}), node.change());
  EXPECT_EQ(at_home[0] - 1, rte_mempool_avail_count(pools[0]));
  EXPECT_EQ(1, rte_mbuf_refcnt_read(kept));
  rte_pktmbuf_free(kept);
  EXPECT_EQ(at_home[0], rte_mempool_avail_count(pools[0]));
  EXPECT_EQ(at_home[1], rte_mempool_avail_count(pools[1]));
}

}  // namespace
}  // namespace sky::test
