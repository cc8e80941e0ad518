// The published AEAD vectors that lie beside the source tree (SOURCES.md, "vectors"): NIST's for AES-256-GCM with
// 96-bit nonces and 128-bit tags, BoringSSL's and OpenSSL's for ChaCha20-Poly1305, RFC 8439's among them.
#pragma once

#include <sodium.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <memory>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace sky::dataplane::published {

using Bytes = std::vector<uint8_t>;

struct AeadVector {
  Bytes key, nonce, associated, plain, sealed, tag;
  bool authentic;  ///< else it must not open
};

inline std::filesystem::path folder() {
  const char* given = std::getenv("SKYEDGE_SHARED_DATA");
  return std::filesystem::path(given ? given : "../shared/data") / "vectors/rfc-nist";
}

/// Hexadecimal, or a text between quotes.
inline Bytes value_of(const std::string& text) {
  if (text.starts_with('"')) return Bytes(text.begin() + 1, text.end() - 1);
  if (text.empty()) return {};
  Bytes bytes(text.size() / 2);
  if (sodium_hex2bin(bytes.data(), bytes.size(), text.data(), text.size(), nullptr, nullptr, nullptr) != 0)
    throw std::runtime_error("not hexadecimal: " + text);
  return bytes;
}

/// The text of a file, unpacked where its name ends in .xz.
inline std::string text_of(const std::string& name) {
  const std::string command = (name.ends_with(".xz") ? "xz -dc '" : "cat '") + (folder() / name).string() + "'";
  const std::unique_ptr<FILE, int (*)(FILE*)> pipe(popen(command.c_str(), "r"), pclose);
  std::string text;
  std::array<char, 65536> part;
  while (const size_t got = fread(part.data(), 1, part.size(), pipe.get())) text.append(part.data(), got);
  return text;
}

/// Paragraphs of "NAME = VALUE" lines; "[NAME = VALUE]" holds until it is said otherwise.
inline std::vector<std::map<std::string, std::string>> paragraphs(const std::string& file) {
  std::vector<std::map<std::string, std::string>> found;
  std::map<std::string, std::string> said, now;
  std::istringstream text(text_of(file) + "\n\n");
  for (std::string line; std::getline(text, line);) {
    while (line.ends_with('\r') || line.ends_with(']')) line.pop_back();
    const bool holds = line.starts_with('[');
    const size_t sign = line.find('=');
    if (line.empty()) {
      if (now.contains("TAG")) found.push_back(now);
      now = said;
    } else if (line == "FAIL") {
      now["FAIL"] = line;
    } else if (line[0] != '#' && sign != std::string::npos) {
      std::string name = line.substr(holds, sign - holds), value = line.substr(sign + 1);
      name.erase(name.find_last_not_of(' ') + 1);
      value.erase(0, value.find_first_not_of(' '));
      for (char& letter : name) letter = static_cast<char>(std::toupper(letter));
      (holds ? said : now)[name] = value;
    }
  }
  return found;
}

inline AeadVector vector_of(std::map<std::string, std::string>& given) {
  const auto any_of = [&](const char* name, const char* other, const char* third) {
    for (const char* each : {name, other, third}) {
      if (given.contains(each)) return value_of(given[each]);
    }
    return Bytes{};
  };
  return {.key = value_of(given["KEY"]),
          .nonce = any_of("IV", "NONCE", "IV"),
          .associated = any_of("AAD", "AD", "AAD"),
          .plain = any_of("PT", "IN", "PLAINTEXT"),
          .sealed = any_of("CT", "CIPHERTEXT", "CT"),
          .tag = value_of(given["TAG"]),
          .authentic = !given.contains("FAIL") && !given.contains("RESULT")};
}

inline std::vector<AeadVector> aes_256_gcm() {
  std::vector<AeadVector> vectors;
  for (const char* file : {"gcmEncryptExtIV256.rsp.xz", "gcmDecrypt256.rsp.xz"}) {
    for (auto& given : paragraphs(file)) {
      if (given["IVLEN"] == "96" && given["TAGLEN"] == "128") vectors.push_back(vector_of(given));
    }
  }
  return vectors;
}

inline std::vector<AeadVector> chacha20_poly1305() {
  std::vector<AeadVector> vectors;
  for (const char* file : {"chacha20poly1305-boringssl.txt", "chacha20poly1305-openssl.txt"}) {
    for (auto& given : paragraphs(file)) vectors.push_back(vector_of(given));
  }
  return vectors;
}

}  // namespace sky::dataplane::published
