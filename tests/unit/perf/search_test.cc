#include "perf/ndr/search.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

namespace sky::perf {
namespace {

/// Takes so many a second and no more, the generator gives at most so many; in long trials it takes a share.
struct Device {
  double capacity, generator;
  double lasting = 1;
  unsigned trials = 0;

  Trial operator()(double rate, double seconds) {
    ++trials;
    const double offered = rate == 0 ? generator : std::min(rate, generator);
    const double taken = std::min(offered, seconds > 1 ? capacity * lasting : capacity);
    return {seconds, static_cast<uint64_t>(std::llround(offered * seconds)),
            static_cast<uint64_t>(std::llround(taken * seconds))};
  }
};

std::optional<Trial> searched(Device& device, double loss, const std::optional<Trial>& known = {}) {
  const Measure measure = [&](double rate, double seconds) { return device(rate, seconds); };
  return search(measure, loss, device(0, 1), known, {});
}

double found(Device& device, double loss) {
  const auto last = searched(device, loss);
  return last ? last->rate() : 0;
}

TEST(Search, FindsWhatADeviceTakes) {
  for (const double capacity : {2'000.0, 123'456.0, 9'999'999.0}) {
    Device device{.capacity = capacity, .generator = 10'000'000};
    const auto without = searched(device, 0);
    const double ndr = without->rate(), pdr = searched(device, 0.005, without)->rate();
    EXPECT_LE(ndr, capacity + 1);
    EXPECT_GE(ndr, capacity * 0.985);
    EXPECT_GT(pdr, capacity * 0.995);
    EXPECT_LE(pdr, capacity / 0.994);
    EXPECT_LT(device.trials, 40u);
  }
}

TEST(Search, AGeneratorThatIsTheSlowerOneIsTheEnd) {
  Device device{.capacity = 5e6, .generator = 1e6};
  EXPECT_EQ(found(device, 0), 1e6);
  EXPECT_EQ(device.trials, 2u);
}

TEST(Search, WhatALongTrialLosesIsNotFound) {
  Device device{.capacity = 1e6, .generator = 5e6, .lasting = 0.9};
  const double ndr = found(device, 0);
  EXPECT_LE(ndr, 0.9e6);
  EXPECT_GE(ndr, 0.8e6);
}

TEST(Search, WithALossItIsNeverLessThanWithout) {
  Device device{.capacity = 1e6, .generator = 5e6};
  const auto without = searched(device, 0);
  device.lasting = 0.5;  // it got worse meanwhile
  EXPECT_EQ(searched(device, 0.005, without)->rate(), without->rate());
  device = {.capacity = 1e6, .generator = 0.7e6};  // the generator did
  EXPECT_EQ(searched(device, 0.005, without)->rate(), without->rate());
}

TEST(Search, ADeadDeviceHasNoRate) {
  Device device{.capacity = 0, .generator = 5e6};
  EXPECT_EQ(found(device, 0), 0);
  EXPECT_LT(device.trials, 20u);
}

}  // namespace
}  // namespace sky::perf
