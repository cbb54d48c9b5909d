// SPDX-License-Identifier: Apache-2.0
/*
 * Samples as the guest's tracer does: takes ids (8 bytes each) from its input, block
 * by block, and writes the shift and the ids that stay, as 8 bytes each.
 */
#include <stdio.h>

#include "trace_sample.h"

int main(void)
{
	static struct membuddies_block block;
	uint64_t shift;
	size_t count;

	sample.shift = FIRST_SHIFT;
	do {
		count = fread(block.ids, 8, MEMBUDDIES_BLOCK_IDS, stdin);
		block.count = htole32(count);
		block.pages = htole32(count);
		take(&block);
	} while (count);
	condense();
	shift = sample.shift;
	fwrite(&shift, 8, 1, stdout);
	fwrite(sample.ids, 8, sample.count, stdout);
	return 0;
}
