#include "tests/support/memory_port.h"

#include <rte_eth_ring.h>
#include <sched.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <stdexcept>

#include "dataplane/base/address_sanitizer.h"

#if SKY_ADDRESS_SANITIZER
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(address, bytes) static_cast<void>(address)
#define ASAN_UNPOISON_MEMORY_REGION(address, bytes) static_cast<void>(address)
#endif

namespace sky::test {

namespace {

void start_with_scratch(drivers::EalConfig config) {
  std::string scratch = (std::filesystem::temp_directory_path() / "skyedge-test-XXXXXX").string();
  if (mkdtemp(scratch.data()) == nullptr) throw std::runtime_error("no temporary directory");
  config.scratch = scratch;
  const auto started = drivers::start_eal(config);
  std::filesystem::remove(scratch);
  if (!started) throw std::runtime_error(started.error().message);
}

rte_ring* make_ring(const std::string& name, unsigned frames) {
  rte_ring* ring = rte_ring_create(name.c_str(), frames, SOCKET_ID_ANY, RING_F_SC_DEQ);
  if (ring == nullptr) throw std::runtime_error("no memory for a ring");
  return ring;
}

}  // namespace

void start_eal_once(bool hugepages, uint64_t bytes) {
  start_eal_once({.main_core = static_cast<uint16_t>(sched_getcpu()),
                  .workers = {},
                  .hugepages = hugepages,
                  .memory_bytes = bytes,
                  .devices = {},
                  .scratch = {}});
}

void start_eal_once(drivers::EalConfig config) {
  static const bool started = (start_with_scratch(std::move(config)), true);
  static_cast<void>(started);
}

MemoryPort::MemoryPort(const std::string& name, uint16_t mtu, unsigned ring_frames, unsigned workers)
    : toward_node_(make_ring(name + "-rx", ring_frames)), from_node_(make_ring(name + "-tx", ring_frames)) {
  std::vector<rte_ring*> transmit(workers, from_node_);
  const int id = rte_eth_from_rings(name.c_str(), &toward_node_, 1, transmit.data(), workers, SOCKET_ID_ANY);
  if (id < 0) throw std::runtime_error("no device from rings");
  auto port = drivers::Port::adopt(
      static_cast<uint16_t>(id), {.name = name, .device = name, .mtu = mtu, .queues = static_cast<uint16_t>(workers)});
  if (!port) throw std::runtime_error(port.error().message);
  port_ = std::move(*port);
}

MemoryPort::~MemoryPort() {
  unpoison();
  void* frame;
  for (rte_ring* ring : {toward_node_, from_node_}) {
    while (rte_ring_dequeue(ring, &frame) == 0) rte_pktmbuf_free(static_cast<rte_mbuf*>(frame));
  }
  port_.reset();
  rte_ring_free(toward_node_);
  rte_ring_free(from_node_);
}

rte_mbuf* MemoryPort::fill(std::span<const uint8_t> bytes) {
  rte_mbuf* mbuf = rte_pktmbuf_alloc(pool());
  if (mbuf == nullptr) throw std::runtime_error("the pool is empty");
  char* data = rte_pktmbuf_append(mbuf, static_cast<uint16_t>(bytes.size()));
  if (data == nullptr) throw std::runtime_error("a frame larger than a buffer");
  std::ranges::copy(bytes, reinterpret_cast<uint8_t*>(data));
  if (poison) {
    ASAN_POISON_MEMORY_REGION(data + bytes.size(), rte_pktmbuf_tailroom(mbuf));
    poisoned_.push_back(mbuf);
  }
  return mbuf;
}

void MemoryPort::unpoison() {
  for (rte_mbuf* mbuf : poisoned_) ASAN_UNPOISON_MEMORY_REGION(mbuf->buf_addr, mbuf->buf_len);
  poisoned_.clear();
}

void MemoryPort::push(const Bytes& frame, size_t segment) {
  std::span<const uint8_t> rest(frame);
  rte_mbuf* first = fill(rest.first(std::min(segment, rest.size())));
  for (rest = rest.subspan(first->data_len); !rest.empty();) {
    rte_mbuf* more = fill(rest.first(std::min(segment, rest.size())));
    rest = rest.subspan(more->data_len);
    rte_pktmbuf_chain(first, more);
  }
  if (rte_ring_enqueue(toward_node_, first) != 0) throw std::runtime_error("the ring towards the node is full");
}

void MemoryPort::push(std::span<rte_mbuf* const> frames) {
  auto* objects = reinterpret_cast<void* const*>(frames.data());
  const auto count = static_cast<unsigned>(frames.size());
  if (rte_ring_enqueue_bulk(toward_node_, objects, count, nullptr) != count)
    throw std::runtime_error("the ring towards the node is full");
}

rte_mbuf* MemoryPort::take() {
  void* frame;
  return rte_ring_dequeue(from_node_, &frame) == 0 ? static_cast<rte_mbuf*>(frame) : nullptr;
}

std::optional<Bytes> MemoryPort::pop() {
  rte_mbuf* mbuf = take();
  if (mbuf == nullptr) return std::nullopt;
  const auto* data = rte_pktmbuf_mtod(mbuf, const uint8_t*);
  Bytes bytes(data, data + mbuf->data_len);
  if (mbuf->nb_segs != 1 || mbuf->pkt_len != mbuf->data_len) bytes.clear();
  rte_pktmbuf_free(mbuf);
  return bytes;
}

std::vector<Bytes> MemoryPort::pop_all() {
  std::vector<Bytes> out;
  while (auto frame = pop()) out.push_back(std::move(*frame));
  return out;
}

unsigned MemoryPort::discard() {
  std::array<void*, 64> frames;
  unsigned all = 0;
  while (const unsigned some = rte_ring_dequeue_burst(from_node_, frames.data(), frames.size(), nullptr)) {
    rte_pktmbuf_free_bulk(reinterpret_cast<rte_mbuf**>(frames.data()), some);
    all += some;
  }
  return all;
}

}  // namespace sky::test
