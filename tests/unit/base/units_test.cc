#include "dataplane/base/units.h"

#include <gtest/gtest.h>

namespace sky {
namespace {

TEST(Units, ReadWithTheirUnit) {
  EXPECT_EQ(parse_duration_ns("20ms"), 20 * kMillisecondNs);
  EXPECT_EQ(parse_duration_ns("0s"), 0u);
  EXPECT_EQ(parse_duration_ns("10min"), 600 * kSecondNs);
  EXPECT_EQ(parse_duration_ns("24h"), 86'400 * kSecondNs);
  EXPECT_EQ(parse_duration_ns("1500us"), 1'500'000u);
  EXPECT_EQ(parse_duration_ns("7ns"), 7u);
  EXPECT_EQ(parse_size_bytes("256GiB"), 1ull << 38);
  EXPECT_EQ(parse_size_bytes("1MiB"), 1ull << 20);
  EXPECT_EQ(parse_size_bytes("9B"), 9u);
  EXPECT_EQ(parse_rate_bps("10G"), 10'000'000'000u);
  EXPECT_EQ(parse_rate_bps("1k"), 1'000u);
}

TEST(Units, AreNeverGuessed) {
  for (const char* text : {"", "20", "ms", "20 ms", "2.5s", "-1s", "+1s", "20MS", "1d", "20msx", "99999999999999h",
                           "18446744073709551616ns"}) {
    EXPECT_FALSE(parse_duration_ns(text)) << text;
  }
  for (const char* text : {"1GB", "1", "1gib", "99999999999TiB"}) EXPECT_FALSE(parse_size_bytes(text)) << text;
  for (const char* text : {"10", "10Gbps", "10g", "10 G"}) EXPECT_FALSE(parse_rate_bps(text)) << text;
}

TEST(Units, Integers) {
  EXPECT_EQ(parse_integer("0"), 0u);
  EXPECT_EQ(parse_integer("18446744073709551615"), UINT64_MAX);
  EXPECT_EQ(parse_integer("0x88B5"), 0x88b5u);
  for (const char* text : {"", "-1", "+1", "010", "0o17", "0x", "0x1g", "1.0", "1e3", "18446744073709551616", " 1"}) {
    EXPECT_FALSE(parse_integer(text)) << text;
  }
}

TEST(Units, WriteWhatTheyReadInTheLargestUnit) {
  EXPECT_EQ(format_duration_ns(0), "0s");
  EXPECT_EQ(format_duration_ns(1'500 * kMillisecondNs), "1500ms");
  EXPECT_EQ(format_duration_ns(kHourNs), "1h");
  EXPECT_EQ(format_duration_ns(90 * kSecondNs), "90s");
  EXPECT_EQ(format_size_bytes(1ull << 38), "256GiB");
  EXPECT_EQ(format_size_bytes(1025), "1025B");
  EXPECT_EQ(format_rate_bps(10'000'000'000), "10G");
  EXPECT_EQ(format_rate_bps(999), "999");
}

}  // namespace
}  // namespace sky
