#include "drivers/packet_pool.h"

#include <rte_errno.h>
#include <rte_mbuf.h>
#include <rte_mbuf_pool_ops.h>
#include <rte_memzone.h>

namespace sky::drivers {
namespace {

constexpr size_t kPageBytes = 4096;
constexpr uint32_t kCache = 256;
constexpr size_t kHeaderBytes = 64;  ///< the pool's, in front of each buffer

uint16_t data_room(uint32_t frame_bytes) {
  return static_cast<uint16_t>(RTE_PKTMBUF_HEADROOM + (frame_bytes + 63) / 64 * 64);
}

void free_zone(rte_mempool_memhdr*, void* zone) {
  rte_memzone_free(static_cast<const rte_memzone*>(zone));
}

/// rte_pktmbuf_pool_create keeps buffers from lying across two pages; this does not.
rte_mempool* make_one_piece(const std::string& name, const PoolSize& size) {
  rte_pktmbuf_pool_private layout{};
  layout.mbuf_data_room_size = data_room(size.frame_bytes);
  const uint32_t element = sizeof(rte_mbuf) + layout.mbuf_data_room_size;
  rte_mempool* pool = rte_mempool_create_empty(name.c_str(), size.buffers, element, kCache, sizeof(layout),
                                               SOCKET_ID_ANY, RTE_MEMPOOL_F_NO_IOVA_CONTIG | RTE_MEMPOOL_F_NO_SPREAD);
  if (pool == nullptr) return nullptr;
  rte_mempool_set_ops_byname(pool, rte_mbuf_best_mempool_ops(), nullptr);
  rte_pktmbuf_pool_init(pool, &layout);
  const size_t bytes = size_t{rte_mempool_calc_obj_size(element, pool->flags, nullptr)} * size.buffers;
  const rte_memzone* zone = rte_memzone_reserve_aligned(name.c_str(), bytes, SOCKET_ID_ANY, 0, kPageBytes);
  void* const owner = const_cast<rte_memzone*>(zone);
  // The addresses of devices are those of the process (--iova-mode=va), so a NIC may send from here too.
  if (zone == nullptr || rte_mempool_populate_iova(pool, static_cast<char*>(zone->addr), zone->iova, bytes, free_zone,
                                                   owner) != static_cast<int>(size.buffers)) {
    rte_mempool_free(pool);
    return nullptr;
  }
  rte_mempool_obj_iter(pool, rte_pktmbuf_init, nullptr);
  return pool;
}

}  // namespace

size_t pool_bytes(const PoolSize& size) {
  // Then the caches of 128 lcores and the list of free buffers.
  const size_t beside = size.buffers * 2 * sizeof(void*) + (2 << 20);
  const size_t element = kHeaderBytes + sizeof(rte_mbuf) + data_room(size.frame_bytes);
  if (size.one_piece) return size.buffers * element + kPageBytes + beside;
  // Without hugepages no buffer crosses a page.
  const size_t per_page = kPageBytes / element;
  const size_t each = per_page > 0 ? kPageBytes / per_page : (element + kPageBytes - 1) / kPageBytes * kPageBytes;
  return size.buffers * each + beside;
}

Result<rte_mempool*> make_pool(const std::string& name, const PoolSize& size) {
  rte_mempool* pool = size.one_piece ? make_one_piece(name, size)
                                     : rte_pktmbuf_pool_create(name.c_str(), size.buffers, kCache, 0,
                                                               data_room(size.frame_bytes), SOCKET_ID_ANY);
  if (pool != nullptr) return pool;
  return fail("pool {}: no memory for {} buffers of {} bytes: {}", name, size.buffers, data_room(size.frame_bytes),
              rte_strerror(rte_errno));
}

}  // namespace sky::drivers
