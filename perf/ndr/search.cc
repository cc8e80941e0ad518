#include "perf/ndr/search.h"

#include <algorithm>
#include <cmath>

namespace sky::perf {

std::optional<Trial> search(const Measure& measure, double loss, const Trial& fastest,
                            const std::optional<Trial>& known, const SearchConfig& config) {
  double above = fastest.rate();
  const double holds = known ? known->rate() : 0;
  double below = fastest.loss() <= loss ? above : std::min(holds, above);
  double guess = static_cast<double>(fastest.received) / fastest.seconds;
  while (above > config.least && above > below * (1 + config.width)) {
    double rate = below == 0 ? above / 2 : std::sqrt(below * above);
    if (guess > below && guess < above) rate = guess;
    guess = 0;
    (measure(rate, config.trial_seconds).loss() <= loss ? below : above) = rate;
  }
  double step = config.width;
  for (double rate = below; rate > std::max(holds, config.least); rate *= 1 - step, step = std::min(2 * step, 0.5)) {
    // The rate at which the generator gave all it had is asked for as such: a pace would lose some of it.
    const Trial last = measure(rate == fastest.rate() ? 0 : rate, config.final_seconds);
    if (last.loss() <= loss) return last.rate() > holds ? last : known;
  }
  return known;
}

}  // namespace sky::perf
