// SPDX-License-Identifier: Apache-2.0
/*
 * Lets a test call the hash: the id of one page, for each vector unit that a
 * scan may choose, and for the one that it does choose here.
 */
#include "page_hash.h"

#define DEFINE_ID(name, hash)                              \
	u64 name(const u8 *page, u64 seed)                 \
	{                                                  \
		struct xxh3_4096 key;                      \
		u64 id;                                    \
                                                           \
		xxh3_4096_init(&key, seed);                \
		hash(&key, page, 1, &id);                  \
		return id;                                 \
	}

DEFINE_ID(id_plain, page_hash_plain)
DEFINE_ID(id_widest, page_hash_widest())
#if defined(__x86_64__)
DEFINE_ID(id_avx2, page_hash_avx2)
DEFINE_ID(id_avx512, page_hash_avx512)
#endif
