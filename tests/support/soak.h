// The two sizes of a test that is a row of tests/soak/: CI's, and the full one under SKYEDGE_SOAK=1.
#pragma once

#include <cstdlib>

namespace sky {

template <typename T>
T soak_size(T ci, T full) {
  return std::getenv("SKYEDGE_SOAK") != nullptr ? full : ci;
}

}  // namespace sky
