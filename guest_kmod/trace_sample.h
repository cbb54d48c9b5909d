/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * What the tracer keeps of a walk: a bounded sample of its ids.
 *
 * The sample is the sorted, distinct ids with at least `shift` leading zero
 * bits, with the smallest shift from 6 that leaves no more than 65,536 of
 * them: the very choice that the agent makes of a guest that it reads itself.
 * So memory and file are bounded, whatever the size of the guest. The file,
 * all numbers little-endian:
 *
 *	 0  8 bytes  "MBTRACE1"
 *	 8  u64      seed
 *	16  u64      pages that were read
 *	24  u64      zero pages among them
 *	32  u64      pages that were skipped: ballooned, poisoned, secret
 *	40  u32      shift
 *	44  u32      number of ids
 *	48  u64 ...  ids
 */
#ifndef TRACE_SAMPLE_H
#define TRACE_SAMPLE_H

#include <endian.h>
#include <stdint.h>
#include <stdlib.h>

#include "membuddies_stream.h"

#define FIRST_SHIFT	6
#define LAST_SHIFT	63
#define MAX_ITEMS	65536
/* Ids are kept with repeats until so many have come. */
#define ROOM		(2 * MAX_ITEMS)

struct head {
	char magic[8];
	uint64_t seed;
	uint64_t pages;
	uint64_t zero_pages;
	uint64_t skipped_pages;
	uint32_t shift;
	uint32_t count;
};

struct sample {
	unsigned int shift;
	uint64_t pages;
	uint64_t zero_pages;
	uint64_t skipped_pages;
	size_t count;
	uint64_t ids[ROOM];
};

static struct sample sample;

static int compare(const void *left, const void *right)
{
	uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;

	return (a > b) - (a < b);
}

/* Sorts the ids, drops repeats, and raises the shift until few enough stay. */
static void condense(void)
{
	size_t at, kept = 0;

	qsort(sample.ids, sample.count, sizeof(sample.ids[0]), compare);
	for (at = 0; at < sample.count; at++)
		if (!kept || sample.ids[at] != sample.ids[kept - 1])
			sample.ids[kept++] = sample.ids[at];
	while (kept > MAX_ITEMS && sample.shift < LAST_SHIFT) {
		sample.shift++;
		while (kept && sample.ids[kept - 1] >> (64 - sample.shift))
			kept--;
	}
	sample.count = kept;
}

static void take(const struct membuddies_block *block)
{
	uint32_t count = le32toh(block->count), at;

	sample.pages += le32toh(block->pages);
	sample.zero_pages += le32toh(block->zero_pages);
	sample.skipped_pages += le32toh(block->skipped_pages);
	for (at = 0; at < count; at++) {
		uint64_t id = le64toh(block->ids[at]);

		if (id >> (64 - sample.shift))
			continue;
		if (sample.count == ROOM)
			condense();
		if (!(id >> (64 - sample.shift)))
			sample.ids[sample.count++] = id;
	}
}

#endif /* TRACE_SAMPLE_H */
