// The fuzzer's bytes as a sequence of choices. Past their end every choice is zero, so the beginning of an input is an
// input too.
#pragma once

#include <algorithm>
#include <concepts>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

/// What each target defines: one input, from a clean state to its end. Libraries' asserts, sanitizers and GoogleTest's
/// EXPECT (init.cc) end the process where something is wrong.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace sky::fuzz {

class Input {
 public:
  Input(const uint8_t* data, size_t size) : rest_(data, size) {}

  bool empty() const { return rest_.empty(); }
  std::vector<uint8_t> bytes(size_t most) {
    const auto taken = take(most);
    return {taken.begin(), taken.end()};
  }
  std::vector<uint8_t> rest() { return bytes(rest_.size()); }
  std::string text(size_t most) {
    const auto taken = take(most);
    return {taken.begin(), taken.end()};
  }
  /// Length, two bytes, and so many bytes at most.
  std::vector<uint8_t> chunk() { return bytes(number<uint16_t>()); }
  /// The same, never more than `most`.
  std::string chunk_text(size_t most) { return text(std::min<size_t>(number<uint16_t>(), most)); }

  /// Little-endian.
  template <std::unsigned_integral T>
  T number() {
    return plain<T>();
  }
  uint8_t byte() { return number<uint8_t>(); }
  /// The bytes of T; zeros where they end.
  template <typename T>
  T plain() {
    static_assert(std::is_trivially_copyable_v<T>);
    T value{};
    head(value, sizeof(T));
    return value;
  }
  /// The beginning of something large; what follows stays as it is.
  template <typename T>
  void head(T& value, size_t most) {
    const auto taken = take(std::min(most, sizeof(T)));
    if (!taken.empty()) std::memcpy(static_cast<void*>(&value), taken.data(), taken.size());
  }
  /// As many bytes as `end` needs.
  uint64_t below(uint64_t end) {
    if (end <= 1) return 0;
    if (end <= 1u << 8) return number<uint8_t>() % end;
    if (end <= 1u << 16) return number<uint16_t>() % end;
    return (end <= uint64_t{1} << 32 ? number<uint32_t>() : number<uint64_t>()) % end;
  }

 private:
  std::span<const uint8_t> take(size_t most) {
    const auto taken = rest_.first(std::min(most, rest_.size()));
    rest_ = rest_.subspan(taken.size());
    return taken;
  }
  std::span<const uint8_t> rest_;
};

}  // namespace sky::fuzz
