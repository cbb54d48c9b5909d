// SPDX-License-Identifier: Apache-2.0
/*
 * The ids of pages by the widest vector unit of the machine: the hash that the
 * guest's module shares, with the inner loop written for x86's units. Other
 * machines, and older ones, run the plain C. Holds no state.
 */
#ifndef MEMBUDDIES_PAGE_HASH_H
#define MEMBUDDIES_PAGE_HASH_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

typedef uint8_t u8;
typedef uint32_t u32;
typedef uint64_t u64;

static inline u64 xxh3_read64(const u8 *bytes)
{
	u64 value;

	memcpy(&value, bytes, sizeof(value));
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
	value = __builtin_bswap64(value);
#endif
	return value;
}

#include "xxh3_4096.h"

/* Takes @count pages one after another and gives an id to each. */
typedef void page_hash(const struct xxh3_4096 *key, const u8 *pages,
		       size_t count, u64 *ids);

static void page_hash_plain(const struct xxh3_4096 *key, const u8 *pages,
			    size_t count, u64 *ids)
{
	size_t page;

	for (page = 0; page < count; page++)
		ids[page] = xxh3_4096(key, pages + page * XXH3_4096_BYTES);
}

#if defined(__x86_64__)

/* In each unit: the product of both halves of a lane, and its neighbour. */
__attribute__((target("avx2"))) static inline void
xxh3_accumulate_avx2(u64 *acc, const u8 *stripe, const u8 *secret)
{
	int lane;

	for (lane = 0; lane < XXH3_LANES; lane += 4) {
		__m256i *sum = (__m256i *)(acc + lane);
		__m256i value = _mm256_loadu_si256(
			(const __m256i *)(stripe + 8 * lane));
		__m256i mixed = _mm256_xor_si256(
			value, _mm256_loadu_si256(
				       (const __m256i *)(secret + 8 * lane)));
		__m256i product =
			_mm256_mul_epu32(mixed, _mm256_srli_epi64(mixed, 32));
		__m256i swapped =
			_mm256_shuffle_epi32(value, _MM_SHUFFLE(1, 0, 3, 2));

		_mm256_storeu_si256(
			sum, _mm256_add_epi64(_mm256_loadu_si256(sum),
					      _mm256_add_epi64(product,
							       swapped)));
	}
}

__attribute__((target("avx512f"))) static inline void
xxh3_accumulate_avx512(u64 *acc, const u8 *stripe, const u8 *secret)
{
	__m512i value = _mm512_loadu_si512(stripe);
	__m512i mixed = _mm512_xor_si512(value, _mm512_loadu_si512(secret));
	__m512i product = _mm512_mul_epu32(mixed, _mm512_srli_epi64(mixed, 32));
	__m512i swapped = _mm512_shuffle_epi32(
		value, (_MM_PERM_ENUM)_MM_SHUFFLE(1, 0, 3, 2));

	_mm512_storeu_si512(
		acc, _mm512_add_epi64(_mm512_loadu_si512(acc),
				      _mm512_add_epi64(product, swapped)));
}

__attribute__((target("avx2"), flatten)) static void
page_hash_avx2(const struct xxh3_4096 *key, const u8 *pages, size_t count,
	       u64 *ids)
{
	size_t page;

	for (page = 0; page < count; page++)
		ids[page] = xxh3_4096_with(key, pages + page * XXH3_4096_BYTES,
					   xxh3_accumulate_avx2);
}

__attribute__((target("avx512f"), flatten)) static void
page_hash_avx512(const struct xxh3_4096 *key, const u8 *pages, size_t count,
		 u64 *ids)
{
	size_t page;

	for (page = 0; page < count; page++)
		ids[page] = xxh3_4096_with(key, pages + page * XXH3_4096_BYTES,
					   xxh3_accumulate_avx512);
}

#endif

/* The hash for the machine that this runs on. */
static inline page_hash *page_hash_widest(void)
{
#if defined(__x86_64__)
	if (__builtin_cpu_supports("avx512f"))
		return page_hash_avx512;
	if (__builtin_cpu_supports("avx2"))
		return page_hash_avx2;
#endif
	return page_hash_plain;
}

#endif
