// metrics-page: prints docs/metrics.md.
#include <cstdio>

#include "controlplane/metrics/page.h"

int main() {
  return std::fputs(sky::controlplane::metrics_page().c_str(), stdout) < 0 ? 1 : 0;
}
