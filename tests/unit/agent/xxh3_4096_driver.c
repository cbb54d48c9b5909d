// SPDX-License-Identifier: Apache-2.0
/*
 * Lets a test call the shared header: the id of one page, as the compiler makes
 * it for each vector unit that the scan may choose.
 */
#include <stdint.h>
#include <string.h>

typedef uint8_t u8;
typedef uint32_t u32;
typedef uint64_t u64;

static inline u64 xxh3_read64(const u8 *bytes)
{
	u64 value;

	memcpy(&value, bytes, sizeof(value));
	return value;
}

#include "xxh3_4096.h"

#define DEFINE_ID(name, ...)                           \
	__VA_ARGS__ u64 name(const u8 *page, u64 seed) \
	{                                              \
		struct xxh3_4096 key;                  \
                                                       \
		xxh3_4096_init(&key, seed);            \
		return xxh3_4096(&key, page);          \
	}

DEFINE_ID(id_baseline, __attribute__((flatten)))
#if defined(__x86_64__)
DEFINE_ID(id_avx2, __attribute__((flatten, target("avx2"))))
DEFINE_ID(id_avx512, __attribute__((flatten, target("avx512f,avx512dq"))))
#endif
