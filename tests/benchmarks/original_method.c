// SPDX-License-Identifier: Apache-2.0
/*
 * What a scan is measured against: reading alone, and the method of the
 * original Memory Buddies, which took a 32-bit SuperFastHash of every page and
 * wrote all of them to a file as decimal numbers. The original's pages come
 * through our own reader, so that only the methods differ.
 *
 * SuperFastHash after Paul Hsieh's description, for whole pages only.
 */
#include "_scan.c"

#include <stdio.h>

static u32 half_word(const u8 *bytes)
{
	return bytes[0] | (u32)bytes[1] << 8;
}

static u32 super_fast_hash(const u8 *page)
{
	u32 hash = PAGE_BYTES;
	const u8 *bytes;

	for (bytes = page; bytes < page + PAGE_BYTES; bytes += 4) {
		hash += half_word(bytes);
		hash = (hash << 16) ^ (half_word(bytes + 2) << 11) ^ hash;
		hash += hash >> 11;
	}
	hash ^= hash << 3;
	hash += hash >> 5;
	hash ^= hash << 4;
	hash += hash >> 17;
	hash ^= hash << 25;
	return hash + (hash >> 6);
}

static void super_fast_hashes(const struct xxh3_4096 *Py_UNUSED(key),
			      const u8 *pages, size_t count, u64 *ids)
{
	size_t page;

	for (page = 0; page < count; page++)
		ids[page] = super_fast_hash(pages + page * PAGE_BYTES);
}

/* Hash @count pages, with ours or with the original's. */
void hash_pages(int ours, const u8 *pages, size_t count, u64 *ids)
{
	struct xxh3_4096 key;

	xxh3_4096_init(&key, 0);
	(ours ? page_hash_widest() : super_fast_hashes)(&key, pages, count, ids);
}

/* The original's list of a stretch, appended to a file. Pages, or -errno. */
long original_list(pid_t pid, int pagemap, int memory, u64 start, u64 pages,
		   u8 *blocks, u64 *ids, const char *path)
{
	struct stretch work = {
		.pid = pid,
		.pagemap = pagemap,
		.memory = memory,
		.frame_flags = -1,
		.pinning = true,
		.hash = super_fast_hashes,
		.blocks = blocks,
		.ids = ids,
	};
	int error = read_blocks(&work, start, pages);
	FILE *list;
	size_t page;

	if (error)
		return error;
	list = fopen(path, "a");
	if (!list)
		return -errno;
	for (page = 0; page < work.count; page++)
		fprintf(list, "%u\n", (u32)ids[page]);
	fclose(list);
	return (long)work.count;
}

/* Read ranges, @size bytes a call at most, into one buffer. Bytes, or -errno. */
long read_ranges(pid_t pid, const struct iovec *ranges, size_t count,
		 u8 *buffer, size_t size)
{
	long total = 0;
	size_t range;

	for (range = 0; range < count; range++) {
		struct iovec left = ranges[range];

		while (left.iov_len) {
			struct iovec local = {
				.iov_base = buffer,
				.iov_len = left.iov_len < size ? left.iov_len :
								 size,
			};
			struct iovec remote = left;
			ssize_t done;

			remote.iov_len = local.iov_len;
			done = process_vm_readv(pid, &local, 1, &remote, 1, 0);
			if (done <= 0)
				return -errno;
			left.iov_base = (u8 *)left.iov_base + done;
			left.iov_len -= (size_t)done;
			total += done;
		}
	}
	return total;
}
