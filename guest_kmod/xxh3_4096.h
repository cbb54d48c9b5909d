/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * XXH3-64 of exactly one page of 4096 bytes, with a seed.
 *
 * The agent's scanner on the host and the kernel module in the guest both
 * include it, because they must give the same id to the same page. Written
 * from the XXH3 specification (doc/xxhash_spec.md of xxHash) for this one
 * length, in plain C that a kernel may run. A user of vector instructions
 * gives its own xxh3_accumulate() to xxh3_4096_with(): that is the inner loop.
 *
 * The page is 64 stripes of 64 bytes. The secret has room for 16 stripes a
 * block, so there are 3 blocks, each followed by a scramble, then 15 stripes
 * of a fourth, and the last stripe under a part of the secret of its own.
 *
 * The includer provides u8, u32, u64 and xxh3_read64(), which reads 8 bytes
 * at any address as a little-endian number. Nothing here allocates, sleeps,
 * calls a library or holds state beside struct xxh3_4096.
 */
#ifndef XXH3_4096_H
#define XXH3_4096_H

#define XXH3_4096_BYTES		4096
#define XXH3_SECRET_BYTES	192
#define XXH3_STRIPE_BYTES	64
#define XXH3_LANES		8
#define XXH3_BLOCKS		3
#define XXH3_BLOCK_STRIPES	16	/* (192 - 64) / 8 */
#define XXH3_REST_STRIPES	15

/* Where in the secret the scramble, the last stripe and the merge begin. */
#define XXH3_SCRAMBLE_AT	(XXH3_SECRET_BYTES - XXH3_STRIPE_BYTES)
#define XXH3_LAST_AT		(XXH3_SECRET_BYTES - XXH3_STRIPE_BYTES - 7)
#define XXH3_MERGE_AT		11

#define XXH3_PRIME32_1		0x9E3779B1U
#define XXH3_PRIME32_2		0x85EBCA77U
#define XXH3_PRIME32_3		0xC2B2AE3DU
#define XXH3_PRIME64_1		0x9E3779B185EBCA87ULL
#define XXH3_PRIME64_2		0xC2B2AE3D27D4EB4FULL
#define XXH3_PRIME64_3		0x165667B19E3779F9ULL
#define XXH3_PRIME64_4		0x85EBCA77C2B2AE63ULL
#define XXH3_PRIME64_5		0x27D4EB2F165667C5ULL
#define XXH3_PRIME_MX1		0x165667919E3779F9ULL

/* The specification's default secret, as little-endian numbers. */
static const u64 xxh3_default_secret[XXH3_SECRET_BYTES / 8] = {
	0xbe4ba423396cfeb8ULL, 0x1cad21f72c81017cULL, 0xdb979083e96dd4deULL,
	0x1f67b3b7a4a44072ULL, 0x78e5c0cc4ee679cbULL, 0x2172ffcc7dd05a82ULL,
	0x8e2443f7744608b8ULL, 0x4c263a81e69035e0ULL, 0xcb00c391bb52283cULL,
	0xa32e531b8b65d088ULL, 0x4ef90da297486471ULL, 0xd8acdea946ef1938ULL,
	0x3f349ce33f76faa8ULL, 0x1d4f0bc7c7bbdcf9ULL, 0x3159b4cd4be0518aULL,
	0x647378d9c97e9fc8ULL, 0xc3ebd33483acc5eaULL, 0xeb6313faffa081c5ULL,
	0x49daf0b751dd0d17ULL, 0x9e68d429265516d3ULL, 0xfca1477d58be162bULL,
	0xce31d07ad1b8f88fULL, 0x280416958f3acb45ULL, 0x7e404bbbcafbd7afULL,
};

/**
 * struct xxh3_4096 - what a seed makes of the secret
 * @secret: the bytes that pages are mixed with
 */
struct xxh3_4096 {
	u8 secret[XXH3_SECRET_BYTES];
};

/**
 * xxh3_4096_init() - prepare for hashing pages with a seed
 * @key: to be filled
 * @seed: any number
 */
static inline void xxh3_4096_init(struct xxh3_4096 *key, u64 seed)
{
	int word, byte;

	for (word = 0; word < XXH3_SECRET_BYTES / 8; word++) {
		u64 value = xxh3_default_secret[word];

		if (word % 2)
			value -= seed;
		else
			value += seed;
		for (byte = 0; byte < 8; byte++)
			key->secret[8 * word + byte] = (u8)(value >> (8 * byte));
	}
}

static inline void xxh3_begin(u64 *acc)
{
	acc[0] = XXH3_PRIME32_3;
	acc[1] = XXH3_PRIME64_1;
	acc[2] = XXH3_PRIME64_2;
	acc[3] = XXH3_PRIME64_3;
	acc[4] = XXH3_PRIME64_4;
	acc[5] = XXH3_PRIME32_2;
	acc[6] = XXH3_PRIME64_5;
	acc[7] = XXH3_PRIME32_1;
}

/**
 * xxh3_accumulate() - mix one stripe into the accumulators
 * @acc: XXH3_LANES numbers
 * @stripe: XXH3_STRIPE_BYTES of the page
 * @secret: as many bytes of the secret
 */
static inline void xxh3_accumulate(u64 *acc, const u8 *stripe, const u8 *secret)
{
	int lane;

	for (lane = 0; lane < XXH3_LANES; lane++) {
		u64 value = xxh3_read64(stripe + 8 * lane);
		u64 mixed = value ^ xxh3_read64(secret + 8 * lane);

		acc[lane ^ 1] += value;
		acc[lane] += (mixed & 0xFFFFFFFFU) * (mixed >> 32);
	}
}

static inline void xxh3_scramble(u64 *acc, const u8 *secret)
{
	int lane;

	for (lane = 0; lane < XXH3_LANES; lane++) {
		acc[lane] ^= acc[lane] >> 47;
		acc[lane] ^= xxh3_read64(secret + 8 * lane);
		acc[lane] *= XXH3_PRIME32_1;
	}
}

/* The 128 bits of a product, its halves folded by exclusive or. */
static inline u64 xxh3_fold(u64 a, u64 b)
{
	unsigned __int128 product = (unsigned __int128)a * b;

	return (u64)product ^ (u64)(product >> 64);
}

static inline u64 xxh3_merge(const u64 *acc, const u8 *secret)
{
	u64 hash = XXH3_4096_BYTES * XXH3_PRIME64_1;
	int lane;

	for (lane = 0; lane < XXH3_LANES; lane += 2)
		hash += xxh3_fold(acc[lane] ^ xxh3_read64(secret + 8 * lane),
				  acc[lane + 1] ^ xxh3_read64(secret + 8 * lane + 8));
	hash ^= hash >> 37;
	hash *= XXH3_PRIME_MX1;
	return hash ^ (hash >> 32);
}

/**
 * xxh3_4096_with() - the id of one page
 * @key: from xxh3_4096_init()
 * @page: 4096 bytes at any address
 * @accumulate: what does the work of xxh3_accumulate(), known at compile time
 *
 * Return: XXH3-64 of the page with the key's seed.
 */
static inline __attribute__((__always_inline__)) u64
xxh3_4096_with(const struct xxh3_4096 *key, const u8 *page,
	       void (*accumulate)(u64 *acc, const u8 *stripe, const u8 *secret))
{
	u64 acc[XXH3_LANES];
	int block, stripe;

	xxh3_begin(acc);
	for (block = 0; block < XXH3_BLOCKS; block++) {
		for (stripe = 0; stripe < XXH3_BLOCK_STRIPES; stripe++) {
			accumulate(acc, page, key->secret + 8 * stripe);
			page += XXH3_STRIPE_BYTES;
		}
		xxh3_scramble(acc, key->secret + XXH3_SCRAMBLE_AT);
	}
	for (stripe = 0; stripe < XXH3_REST_STRIPES; stripe++) {
		accumulate(acc, page, key->secret + 8 * stripe);
		page += XXH3_STRIPE_BYTES;
	}
	accumulate(acc, page, key->secret + XXH3_LAST_AT);
	return xxh3_merge(acc, key->secret + XXH3_MERGE_AT);
}

/* xxh3_4096() - the id of one page, in plain C */
static inline u64 xxh3_4096(const struct xxh3_4096 *key, const u8 *page)
{
	return xxh3_4096_with(key, page, xxh3_accumulate);
}

#endif /* XXH3_4096_H */
