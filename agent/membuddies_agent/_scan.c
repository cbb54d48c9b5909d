// SPDX-License-Identifier: Apache-2.0
/*
 * The inner loop of a scan: the ids of the present pages of one stretch of
 * another process's memory. It does what stretch.PythonReader does, in the same
 * blocks and by the same rules, and says of nothing more than that: which
 * process, which mappings, and what an error means is decided in Python.
 *
 * For each block of 64 pages the pagemap is read anew, and only pages that it
 * shows as present are touched: any other would be allocated or swapped in.
 * A page that leaves between the two may still be brought back, which is why
 * blocks are small. Pages that nobody else maps are read with
 * process_vm_readv(2) where the caller allows it; it pins a page for a moment,
 * and pinning a page that KSM merged un-merges it. All others are read from
 * /proc/PID/mem, which does not pin.
 *
 * A merged frame is read each time that a mapping leads to it. Remembering ids
 * by frame number does not pay: it saves 1.4 us a page, but within one guest
 * only for pages that it holds more than once, and a frame that was freed
 * meanwhile holds another page under the same number, which would be a wrong
 * id. With half of the pages merged a scan is at 0.6 of reading alone as it is
 * (tests/benchmarks/scan_throughput.py).
 *
 * Nothing here writes to the process, stops it, allocates memory, or keeps
 * state. The buffers and the descriptors are the caller's; the GIL is released
 * while they are in use.
 */
#define PY_SSIZE_T_CLEAN
#define _GNU_SOURCE
#include <Python.h>

#include <errno.h>
#include <stdbool.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "page_hash.h"

#define PAGE_BYTES XXH3_4096_BYTES
/* A block's pages are the bits of one u64. */
#define BLOCK_PAGES 64
#define BLOCK_BYTES (BLOCK_PAGES * PAGE_BYTES)
/*
 * Blocks are read into these in turn: the kernel copies faster to where this
 * core has not just been, and from huge pages that is a quarter of the time.
 */
#define BLOCK_SLOTS 4

/* Documentation/admin-guide/mm/pagemap.rst */
#define ENTRY_FRAME ((1ULL << 55) - 1)
#define ENTRY_EXCLUSIVE (1ULL << 56)
#define ENTRY_PRESENT (1ULL << 63)
#define FRAME_ZERO_PAGE (1ULL << 24)

/**
 * struct stretch - one call's work
 * @pid: whose memory it is
 * @pagemap: descriptor of its /proc/PID/pagemap
 * @memory: descriptor of its /proc/PID/mem
 * @frame_flags: descriptor of /proc/kpageflags, or -1
 * @pinning: whether pages that nobody else maps may be pinned
 * @zero_frame: of the kernel's zero page, or 0 where frames are hidden
 * @zero_id: id of the page of zero bytes
 * @key: of the seed
 * @hash: the fastest on this machine
 * @blocks: BLOCK_SLOTS times BLOCK_BYTES of memory to read into
 * @ids: room for an id of every page of the stretch
 * @count: ids that are there already
 * @kernel_zero_pages: how many of them are the kernel's own zero page
 * @reading_ns: time spent reading the process's memory
 */
struct stretch {
	pid_t pid;
	int pagemap;
	int memory;
	int frame_flags;
	bool pinning;
	u64 zero_frame;
	u64 zero_id;
	struct xxh3_4096 key;
	page_hash *hash;
	u8 *blocks;
	u64 *ids;
	size_t count;
	u64 kernel_zero_pages;
	u64 reading_ns;
};

/* The first run of set bits, taken off the mask: its pages and their number. */
static u64 take_run(u64 *mask, unsigned int *first, unsigned int *length)
{
	u64 run;

	*first = __builtin_ctzll(*mask);
	run = ~(*mask >> *first);
	*length = run ? __builtin_ctzll(run) : BLOCK_PAGES;
	run = *length == BLOCK_PAGES ? ~0ULL : ((1ULL << *length) - 1) << *first;
	*mask &= ~run;
	return run;
}

/* The mask without its lowest @count pages. */
static u64 skip_pages(u64 mask, size_t count)
{
	while (mask && count--)
		mask &= mask - 1;
	return mask;
}

/* Whether an error means no more than that a page has left meanwhile. */
static bool page_left(int error)
{
	return error == EFAULT || error == EIO || error == ENOMEM;
}

static int read_pinned(const struct stretch *work, u64 start, u64 wanted,
		       u8 *block, size_t *copied)
{
	while (wanted) {
		struct iovec remote[BLOCK_PAGES / 2];
		struct iovec local = {
			.iov_base = block + *copied * PAGE_BYTES,
			.iov_len = __builtin_popcountll(wanted) * PAGE_BYTES,
		};
		unsigned int first, length, runs = 0;
		u64 left = wanted;
		ssize_t done;

		while (left) {
			take_run(&left, &first, &length);
			remote[runs].iov_base = (void *)(uintptr_t)(
				start + (u64)first * PAGE_BYTES);
			remote[runs].iov_len = (size_t)length * PAGE_BYTES;
			runs++;
		}
		done = process_vm_readv(work->pid, &local, 1, remote, runs, 0);
		if (done < 0) {
			if (!page_left(errno))
				return -errno;
			done = 0;
		}
		*copied += done / PAGE_BYTES;
		/* What stopped the copy is the page behind: it has left. */
		wanted = skip_pages(wanted, done / PAGE_BYTES + 1);
	}
	return 0;
}

static int read_unpinned(const struct stretch *work, u64 start, u64 wanted,
			 u8 *block, size_t *copied)
{
	while (wanted) {
		unsigned int first, length;
		u64 left = wanted;
		ssize_t done;

		take_run(&left, &first, &length);
		done = pread(work->memory, block + *copied * PAGE_BYTES,
			     (size_t)length * PAGE_BYTES,
			     start + (u64)first * PAGE_BYTES);
		if (done == 0)
			return -ESRCH;
		if (done < 0) {
			if (!page_left(errno))
				return -errno;
			done = 0;
		}
		*copied += done / PAGE_BYTES;
		if (done / PAGE_BYTES == length)
			wanted = left;
		else
			wanted = skip_pages(wanted, done / PAGE_BYTES + 1);
	}
	return 0;
}

/* Whether a frame belongs to the kernel's zero page, small or huge. */
static bool is_kernel_zero(const struct stretch *work, u64 frame)
{
	u64 flags;

	return work->frame_flags >= 0 &&
	       pread(work->frame_flags, &flags, sizeof(flags),
		     frame * sizeof(flags)) == sizeof(flags) &&
	       (flags & FRAME_ZERO_PAGE);
}

/*
 * Which of the pages that are mapped elsewhere, too, are the kernel's own zero
 * page. The huge one shows as frames in a row over the whole block, which
 * merged pages never are.
 */
static u64 kernel_zero(const struct stretch *work, const u64 *entries,
		       unsigned int pages, u64 mapped_elsewhere)
{
	u64 zero = 0;
	bool row = (unsigned int)__builtin_popcountll(mapped_elsewhere) == pages;
	unsigned int page;

	for (page = 0; page < pages; page++) {
		u64 frame = entries[page] & ENTRY_FRAME;

		if (!(mapped_elsewhere >> page & 1))
			continue;
		if (work->zero_frame && frame == work->zero_frame)
			zero |= 1ULL << page;
		if (page && frame != (entries[page - 1] & ENTRY_FRAME) + 1)
			row = false;
	}
	if (row && is_kernel_zero(work, entries[0] & ENTRY_FRAME))
		return mapped_elsewhere;
	return zero;
}

static u64 now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (u64)now.tv_sec * 1000000000ULL + (u64)now.tv_nsec;
}

static int read_block(struct stretch *work, u64 start, unsigned int pages)
{
	u64 entries[BLOCK_PAGES], present = 0, exclusive = 0, zero = 0, pinned;
	u8 *block = work->blocks + start / BLOCK_BYTES % BLOCK_SLOTS * BLOCK_BYTES;
	size_t copied = 0;
	unsigned int page;
	ssize_t size;
	u64 before;
	int error;

	size = pread(work->pagemap, entries, pages * sizeof(*entries),
		     start / PAGE_BYTES * sizeof(*entries));
	if (size < 0)
		return -errno;
	if ((size_t)size < pages * sizeof(*entries))
		return -ESRCH;
	for (page = 0; page < pages; page++) {
		present |= (u64)!!(entries[page] & ENTRY_PRESENT) << page;
		exclusive |= (u64)!!(entries[page] & ENTRY_EXCLUSIVE) << page;
	}
	if (!present)
		return 0;
	if (present & ~exclusive)
		zero = kernel_zero(work, entries, pages, present & ~exclusive);
	for (page = __builtin_popcountll(zero); page; page--)
		work->ids[work->count++] = work->zero_id;
	work->kernel_zero_pages += __builtin_popcountll(zero);
	present &= ~zero;

	pinned = work->pinning ? present & exclusive : 0;
	before = now_ns();
	error = read_pinned(work, start, pinned, block, &copied);
	if (!error)
		error = read_unpinned(work, start, present & ~pinned, block,
				      &copied);
	work->reading_ns += now_ns() - before;
	if (error)
		return error;
	work->hash(&work->key, block, copied, work->ids + work->count);
	work->count += copied;
	return 0;
}

/* Blocks are aligned, so that none reaches over two huge pages. */
static int read_blocks(struct stretch *work, u64 start, u64 pages)
{
	u64 end = start + pages * PAGE_BYTES;

	while (start < end) {
		u64 next = (start / BLOCK_BYTES + 1) * BLOCK_BYTES;
		int error;

		if (next > end)
			next = end;
		error = read_block(work, start, (next - start) / PAGE_BYTES);
		if (error)
			return error;
		start = next;
	}
	return 0;
}

PyDoc_STRVAR(read_stretch_doc,
"read_stretch(*, pid, pagemap, memory, frame_flags, start, pages, seed,\n"
"             pinning, zero_frame, blocks, ids)\n"
"--\n\n"
"The ids of the present pages of a stretch of a process's memory.\n\n"
":param pagemap: descriptor of /proc/PID/pagemap\n"
":param memory: descriptor of /proc/PID/mem\n"
":param frame_flags: descriptor of /proc/kpageflags, or -1\n"
":param start: address of the first page\n"
":param pinning: whether pages that nobody else maps may be pinned\n"
":param zero_frame: of the kernel's zero page, 0 if not known\n"
":param blocks: 1 MiB to read into\n"
":param ids: 8 bytes for each page of the stretch, filled from the start\n"
":returns: ids found, how many are the kernel's own zero page, seconds spent\n"
"    reading the process's memory\n"
":raises OSError: ESRCH if the process has ended, else why the kernel refuses\n"
":raises ValueError: if the stretch is not whole pages of user memory, or a\n"
"    buffer is too small or not aligned");

static PyObject *read_stretch(PyObject *Py_UNUSED(module), PyObject *args,
			      PyObject *kwargs)
{
	static char *names[] = { "pid",   "pagemap", "memory", "frame_flags",
				 "start", "pages",   "seed",   "pinning",
				 "zero_frame", "blocks", "ids", NULL };
	static const u8 zero_page[PAGE_BYTES];
	unsigned long long start, pages, seed, zero_frame;
	struct stretch work = { .hash = page_hash_widest() };
	PyObject *result = NULL;
	Py_buffer blocks, ids;
	int pinning, error;

	if (!PyArg_ParseTupleAndKeywords(args, kwargs, "$iiiiKKKpKw*w*", names,
					 &work.pid, &work.pagemap, &work.memory,
					 &work.frame_flags, &start, &pages,
					 &seed, &pinning, &zero_frame, &blocks,
					 &ids))
		return NULL;
	if (start % PAGE_BYTES || start >> 63 ||
	    pages > ((1ULL << 63) - start) / PAGE_BYTES) {
		PyErr_SetString(PyExc_ValueError,
				"the stretch is not whole pages of user memory");
		goto release;
	}
	if (blocks.len < BLOCK_SLOTS * BLOCK_BYTES || (u64)ids.len / sizeof(u64) < pages ||
	    (uintptr_t)ids.buf % sizeof(u64)) {
		PyErr_SetString(PyExc_ValueError,
				"a buffer is too small or not aligned");
		goto release;
	}
	work.pinning = pinning;
	work.zero_frame = zero_frame;
	work.blocks = blocks.buf;
	work.ids = ids.buf;

	Py_BEGIN_ALLOW_THREADS
	xxh3_4096_init(&work.key, seed);
	work.zero_id = xxh3_4096(&work.key, zero_page);
	error = read_blocks(&work, start, pages);
	Py_END_ALLOW_THREADS

	if (error) {
		errno = -error;
		PyErr_SetFromErrno(PyExc_OSError);
		goto release;
	}
	result = Py_BuildValue("nKd", (Py_ssize_t)work.count,
			       (unsigned long long)work.kernel_zero_pages,
			       (double)work.reading_ns / 1e9);
release:
	PyBuffer_Release(&ids);
	PyBuffer_Release(&blocks);
	return result;
}

static PyMethodDef methods[] = {
	{ "read_stretch", (PyCFunction)(void (*)(void))read_stretch,
	  METH_VARARGS | METH_KEYWORDS, read_stretch_doc },
	{ NULL, NULL, 0, NULL },
};

static struct PyModuleDef module = {
	PyModuleDef_HEAD_INIT,
	.m_name = "membuddies_agent._scan",
	.m_doc = "The inner loop of a scan, for stretch.CompiledReader only.",
	.m_methods = methods,
};

PyMODINIT_FUNC PyInit__scan(void)
{
	return PyModuleDef_Init(&module);
}
