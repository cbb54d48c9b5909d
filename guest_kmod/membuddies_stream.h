/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * What /dev/membuddies gives to its reader.
 *
 * The module and the tracer include it. Each read() returns one block, the
 * last of a walk is followed by end of file. A block has the counts of the
 * frames that were looked at since the block before, and the ids of those
 * whose id has enough leading zero bits, in the order of frames and with
 * repeats. All numbers are little-endian. No block holds page content.
 */
#ifndef MEMBUDDIES_STREAM_H
#define MEMBUDDIES_STREAM_H

#include <linux/types.h>

#define MEMBUDDIES_DEVICE	"membuddies"
#define MEMBUDDIES_BLOCK_IDS	510

/**
 * struct membuddies_block - the answer to one read()
 * @pages: pages that were read, zero pages among them
 * @zero_pages: of these, pages of 4096 zero bytes; they never have an id
 * @skipped_pages: ballooned, poisoned and secret ones, which were not read
 * @count: how many of @ids follow
 * @ids: XXH3-64 of pages, with the module's seed
 */
struct membuddies_block {
	__le32 pages;
	__le32 zero_pages;
	__le32 skipped_pages;
	__le32 count;
	__le64 ids[MEMBUDDIES_BLOCK_IDS];
};

#endif /* MEMBUDDIES_STREAM_H */
