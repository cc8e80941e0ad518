// SKY_ADDRESS_SANITIZER: 1 where AddressSanitizer looks at what memory is used for. g++ has a macro for it, clang++ a
// feature.
#pragma once

#ifdef __has_feature
#define SKY_ADDRESS_SANITIZER __has_feature(address_sanitizer)
#elif defined(__SANITIZE_ADDRESS__)
#define SKY_ADDRESS_SANITIZER 1
#else
#define SKY_ADDRESS_SANITIZER 0
#endif
