// A28's search: which of the needles lie in the memory of a process? Reads all that is mapped and present, hugepages
// and shared memory too.
//
//   key_scan PID < NEEDLES      a needle: 32 hexadecimal digits and a name, one a line
//
// Prints a line `name address mapping` for each place found, then `scanned BYTES`. Exits 2 when it cannot read.
#include <fcntl.h>
#include <fmt/format.h>
#include <sodium.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <fstream>
#include <iostream>
#include <sstream>
#include <string>
#include <unordered_map>
#include <vector>

namespace {

constexpr size_t kNeedle = 16;
constexpr size_t kPage = 4096;

class Search {
 public:
  void read_needles(std::istream& in) {
    for (std::string digits, name; in >> digits >> name;) {
      std::array<uint8_t, kNeedle> bytes;
      if (sodium_hex2bin(bytes.data(), bytes.size(), digits.data(), digits.size(), nullptr, nullptr, nullptr) != 0)
        throw std::runtime_error("no needle: " + digits);
      starts_[start(bytes.data())] = true;
      for (size_t zeros = 0; zeros < kNeedle && bytes[zeros] == 0; ++zeros)
        most_zeros_ = std::max(most_zeros_, zeros + 1);
      needles_.emplace(first(bytes.data()), Needle{bytes, name});
    }
  }

  /// `bytes` lies at `address`; needles that begin in its last 15 bytes are the next call's.
  void scan(const std::vector<uint8_t>& bytes, uint64_t address, const std::string& mapping) {
    if (bytes.size() < kNeedle) return;
    for (size_t at = 0; at + kNeedle <= bytes.size(); ++at) {
      if (zeros_at(&bytes[at])) {  // most of memory: no needle begins here but for those that begin with zeros
        at += kNeedle - most_zeros_ - 1;
        continue;
      }
      if (!starts_[start(&bytes[at])]) continue;
      const auto [begin, end] = needles_.equal_range(first(&bytes[at]));
      for (auto found = begin; found != end; ++found) {
        if (std::memcmp(found->second.bytes.data(), &bytes[at], kNeedle) == 0)
          fmt::print("{} {:#x} {}\n", found->second.name, address + at, mapping);
      }
    }
  }

 private:
  struct Needle {
    std::array<uint8_t, kNeedle> bytes;
    std::string name;
  };
  static uint32_t start(const uint8_t* bytes) { return bytes[0] | bytes[1] << 8 | bytes[2] << 16; }
  static bool zeros_at(const uint8_t* bytes) {
    std::array<uint64_t, 2> words;
    std::memcpy(words.data(), bytes, kNeedle);
    return (words[0] | words[1]) == 0;
  }
  static uint64_t first(const uint8_t* bytes) {
    uint64_t word;
    std::memcpy(&word, bytes, sizeof(word));
    return word;
  }

  std::vector<bool> starts_ = std::vector<bool>(1 << 24);
  std::unordered_multimap<uint64_t, Needle> needles_;
  size_t most_zeros_ = 0;  ///< with which a needle begins
};

/// The runs of pages that are there, each in one piece of memory.
uint64_t scan_mapping(Search& search, int memory, int pagemap, uint64_t from, uint64_t to, const std::string& mapping) {
  constexpr size_t kMostPages = 4096;
  uint64_t scanned = 0;
  std::vector<uint64_t> pages((to - from) / kPage);
  const auto wanted = static_cast<ssize_t>(pages.size() * sizeof(uint64_t));
  if (pread(pagemap, pages.data(), static_cast<size_t>(wanted), static_cast<off_t>(from / kPage * 8)) != wanted)
    return 0;  // unmapped meanwhile
  for (size_t first = 0; first < pages.size();) {
    size_t count = 0;
    while (first + count < pages.size() && count < kMostPages && (pages[first + count] >> 62) != 0) ++count;
    if (count == 0) {
      ++first;
      continue;
    }
    const uint64_t address = from + first * kPage;
    // A needle may lie across the end of this piece.
    std::vector<uint8_t> bytes(count * kPage + (first + count < pages.size() ? kNeedle - 1 : 0));
    const ssize_t read = pread(memory, bytes.data(), bytes.size(), static_cast<off_t>(address));
    if (read > 0) {
      bytes.resize(static_cast<size_t>(read));
      search.scan(bytes, address, mapping);
      scanned += bytes.size();
    }
    first += count;
  }
  return scanned;
}

}  // namespace

int main(int count, char** words) {
  if (count != 2) return 2;
  Search search;
  search.read_needles(std::cin);
  const std::string process = std::string("/proc/") + words[1];
  const int memory = open((process + "/mem").c_str(), O_RDONLY),
            pagemap = open((process + "/pagemap").c_str(), O_RDONLY);
  std::ifstream maps(process + "/maps");
  if (memory < 0 || pagemap < 0 || !maps) return 2;
  uint64_t scanned = 0;
  for (std::string line; std::getline(maps, line);) {
    std::istringstream in(line);
    std::string range, access, offset, device, inode, name;
    in >> range >> access >> offset >> device >> inode;
    std::getline(in >> std::ws, name);
    if (access[0] != 'r' || access[1] != 'w') continue;  // what a program cannot write to holds no key of its own
    const uint64_t from = std::stoull(range, nullptr, 16),
                   to = std::stoull(range.substr(range.find('-') + 1), nullptr, 16);
    scanned += scan_mapping(search, memory, pagemap, from, to, access + " " + (name.empty() ? "anonymous" : name));
  }
  fmt::print("scanned {}\n", scanned);
  return scanned > 0 ? 0 : 2;
}
