// The checker as a program, for tests that compare it with something else: `check_files [--template] FILE...`
// prints one error a line; exit code 0 fine, 2 errors.
#include "controlplane/topology/check.h"

#include <fmt/format.h>

#include <string>
#include <vector>

int main(int argc, char** argv) {
  std::vector<std::string> paths(argv + 1, argv + argc);
  const bool is_template = !paths.empty() && paths.front() == "--template";
  if (is_template) paths.erase(paths.begin());
  const auto errors = sky::controlplane::check_files(paths, {.is_template = is_template});
  fmt::print("{}", sky::to_string(errors));
  return errors.empty() ? 0 : 2;
}
