// Frames, packets and installs in any order against the real router and the naive one of tests/model: the input draws
// what the model test draws from a seed. Both must say the same of each.
#include "tests/fuzz/router.h"
#include "tests/model/contest.h"

namespace sky::fuzz {
namespace {

class Drawn final : public test::Choices {
 public:
  explicit Drawn(Input& input) : input_(input) {}
  uint64_t below(uint64_t end) override { return input_.below(end); }
  uint64_t word() override { return input_.number<uint64_t>(); }

 private:
  Input& input_;
};

constexpr test::WorldSize kSmall{.links = 4, .sessions = 2, .groups = 3, .rules = 8, .destinations = 3, .burst = 8};

}  // namespace
}  // namespace sky::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace sky::fuzz;
  static Router router({.ports = sky::test::World::kPorts, .mtu = sky::test::World::kMtu, .ring_frames = 2048});
  static uint64_t next_key = 1;
  Input input(data, size);
  Drawn drawn(input);
  sky::test::Seeded beginning(input.byte());
  sky::test::World world(beginning, kSmall, next_key);
  sky::test::Contest contest(*router, world);
  world.draw_from(drawn);
  for (int steps = 0; !input.empty() && steps < 100; ++steps) contest.step();
  next_key = (world.next_key() + 1) & ~uint64_t{1};  // whose lowest bit chooses the cipher
  router.clear();
  return 0;
}
