// The main of a target without libFuzzer: every file of the folders and every file that is named, once each.
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "tests/fuzz/input.h"

extern "C" int LLVMFuzzerInitialize(int* argc, char*** argv);

namespace {

std::vector<std::filesystem::path> files_of(std::span<char*> names) {
  std::vector<std::filesystem::path> files;
  for (const char* name : names) {
    if (!std::filesystem::is_directory(name)) {
      files.emplace_back(name);
      continue;
    }
    for (const auto& file : std::filesystem::directory_iterator(name)) files.push_back(file.path());
  }
  std::ranges::sort(files);
  return files;
}

}  // namespace

int main(int argc, char** argv) {
  LLVMFuzzerInitialize(&argc, &argv);
  const auto files = files_of(std::span(argv, static_cast<size_t>(argc)).subspan(1));
  for (const auto& file : files) {
    fmt::print("{}\n", file.native());
    std::fflush(stdout);  // the last one named is the one that ended the process
    std::ifstream in(file, std::ios::binary);
    const std::vector<uint8_t> bytes(std::istreambuf_iterator<char>(in), {});
    LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
  }
  fmt::print("figure: {} inputs\n", files.size());
  return files.empty() ? 1 : 0;
}
