// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * membuddies - which pages a guest holds, told as hashes.
 *
 * For guests whose memory the host shall not read. While the module is loaded
 * root can read /dev/membuddies: one walk over the guest's frames, a block for
 * each read(), as membuddies_stream.h describes. What comes out are counts and
 * the ids of pages, never their content; an id tells whoever knows a page that
 * the guest holds it, so the device is for root alone.
 *
 * Which pages: RAM that is in use, the kernel's own included, because the host
 * sees all of it in the memory of the guest's QEMU. Free pages are passed over
 * unless all_pages is set: the host may hold them, but nothing needs their
 * content. A page that waits in a CPU's own list of free pages cannot be told
 * from one in use, and counts as in use. Offline frames are no memory now;
 * ballooned pages belong to the host, poisoned ones must not be touched, and
 * secret ones (memfd_secret(2)) have left the kernel's map on purpose: none of
 * these is read.
 *
 * A page can be freed, mapped, or taken from the kernel's map at any moment of
 * the walk, and no lock stops that. So each page is copied by
 * copy_from_kernel_nofault(), which fails where another read would oops, and
 * the copy alone is looked at. A page that changes while it is copied gives an
 * id that no other page has. A frame whose section is unplugged between
 * pfn_to_online_page() and the look at its struct page is the same small race
 * that /proc/kpageflags runs.
 *
 * One reader at a time: a walk is work, and a second one would double it.
 */

#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/bitops.h>
#include <linux/build_bug.h>
#include <linux/capability.h>
#include <linux/fs.h>
#include <linux/jiffies.h>
#include <linux/ktime.h>
#include <linux/limits.h>
#include <linux/math64.h>
#include <linux/memory_hotplug.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/mutex.h>
#include <linux/nodemask.h>
#include <linux/page-flags.h>
#include <linux/sched/signal.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uaccess.h>

#include "membuddies_compat.h"
#include "membuddies_stream.h"

static inline u64 xxh3_read64(const u8 *bytes)
{
	return get_unaligned_le64(bytes);
}

#include "xxh3_4096.h"

#define LARGEST_SHIFT		63
#define LARGEST_RATE_MB		1048576
/* A read() returns after this many frames, however few ids it found. */
#define BLOCK_FRAMES		4096

/* A parameter's range is given to its set function, which names no limits. */
static int set_shift(const char *value, const struct kernel_param *param)
{
	return param_set_uint_minmax(value, param, 0, LARGEST_SHIFT);
}

static int set_rate_mb(const char *value, const struct kernel_param *param)
{
	return param_set_uint_minmax(value, param, 1, LARGEST_RATE_MB);
}

static const struct kernel_param_ops shift_ops = {
	.set = set_shift,
	.get = param_get_uint,
};

static const struct kernel_param_ops rate_mb_ops = {
	.set = set_rate_mb,
	.get = param_get_uint,
};

static unsigned long long seed;
module_param(seed, ullong, 0400);
MODULE_PARM_DESC(seed, "the cloud's public seed of page ids, 0 to 2^64 - 1 (default 0)");

static unsigned int shift = 6;
module_param_cb(shift, &shift_ops, &shift, 0400);
MODULE_PARM_DESC(shift, "leading zero bits of the ids that are told, 0 (all) to 63 (default 6)");

static unsigned int rate_mb = 512;
module_param_cb(rate_mb, &rate_mb_ops, &rate_mb, 0400);
MODULE_PARM_DESC(rate_mb, "MB of memory read a second at most, 1 to 1048576 (default 512)");

static bool all_pages;
module_param(all_pages, bool, 0400);
MODULE_PARM_DESC(all_pages, "read free pages, too (default no)");

/**
 * struct walk - one reader's way over the frames
 * @lock: held by read(), so that threads with one file do not mix
 * @nid: the node whose frames are looked at, MAX_NUMNODES behind the last
 * @pfn: the next frame to look at, 0 where the node was not begun
 * @started: when the walk began
 * @read_pages: since then, for the rate limit
 * @key: the hash's, made of the seed
 * @copy: the page under the hash
 * @block: what read() hands out
 */
struct walk {
	struct mutex lock;	/* of all below */
	int nid;
	unsigned long pfn;
	ktime_t started;
	u64 read_pages;
	struct xxh3_4096 key;
	u8 copy[XXH3_4096_BYTES];
	struct membuddies_block block;
};

/* What one block counts; wide enough not to wrap within BLOCK_FRAMES. */
struct tally {
	u32 pages;
	u32 zero_pages;
	u32 skipped_pages;
	u32 count;
};

#define IS_OPEN	0
static unsigned long state;

/*
 * How many frames a free block has. Without the zone's lock the order may be
 * stale, so it is only believed where it can be true.
 */
static unsigned long free_frames(struct page *page)
{
	unsigned long order = READ_ONCE(page->private);

	return order <= MEMBUDDIES_LARGEST_ORDER ? 1UL << order : 1;
}

/*
 * Reserved frames are the kernel's own image and tables, but also holes that
 * have a struct page and no RAM behind it: reading these would reach devices.
 */
static bool is_ram(struct page *page, unsigned long pfn)
{
	return !PageReserved(page) || page_is_ram(pfn);
}

/* Looks at one page of RAM that is to be read. */
static void look_at(struct walk *walk, struct page *page, struct tally *tally)
{
	u64 id;

	if (PageOffline(page) || PageHWPoison(page) ||
	    copy_from_kernel_nofault(walk->copy, page_address(page),
				     sizeof(walk->copy))) {
		tally->skipped_pages++;
		return;
	}
	walk->read_pages++;
	tally->pages++;
	if (!memchr_inv(walk->copy, 0, sizeof(walk->copy))) {
		tally->zero_pages++;
		return;
	}
	id = xxh3_4096(&walk->key, walk->copy);
	if (!shift || !(id >> (64 - shift)))
		walk->block.ids[tally->count++] = cpu_to_le64(id);
}

/*
 * Looks at the frame that comes next.
 *
 * Return: how many frames it stands for.
 */
static unsigned long look_at_frame(struct walk *walk, struct tally *tally)
{
	struct page *page = pfn_to_online_page(walk->pfn);

	/* Nodes may interleave. */
	if (!page || page_to_nid(page) != walk->nid ||
	    !is_ram(page, walk->pfn))
		return 1;
	if (PageBuddy(page) && !all_pages)
		return free_frames(page);
	look_at(walk, page, tally);
	return 1;
}

/* Return: whether there is a frame at @walk->pfn, after going on to it. */
static bool find_frame(struct walk *walk)
{
	while (walk->nid < MAX_NUMNODES) {
		pg_data_t *node = NODE_DATA(walk->nid);

		walk->pfn = max(walk->pfn, node->node_start_pfn);
		if (walk->pfn < pgdat_end_pfn(node))
			return true;
		walk->nid = next_online_node(walk->nid);
		walk->pfn = 0;
	}
	return false;
}

/*
 * Fills the block; a signal ends it early, so that nothing is lost of a walk
 * that goes on.
 *
 * Return: 1, 0 at the end of the walk, or -EINTR where a signal came first.
 */
static int fill_block(struct walk *walk, struct tally *tally)
{
	unsigned int frame;

	for (frame = 0; frame < BLOCK_FRAMES; frame++) {
		if (signal_pending(current))
			return frame ? 1 : -EINTR;
		cond_resched();
		if (tally->count == MEMBUDDIES_BLOCK_IDS)
			break;
		if (!find_frame(walk))
			break;
		walk->pfn += look_at_frame(walk, tally);
	}
	return frame > 0;
}

/*
 * Sleeps as long as the walk is ahead of its rate.
 *
 * Return: 0, or -EINTR where a signal came.
 */
static int keep_rate(const struct walk *walk)
{
	u64 due_us = div_u64(walk->read_pages * USEC_PER_SEC,
			     rate_mb * (SZ_1M / PAGE_SIZE));
	s64 ahead_us = due_us - ktime_us_delta(ktime_get(), walk->started);

	if (ahead_us < jiffies_to_usecs(1))
		return 0;
	schedule_timeout_interruptible(nsecs_to_jiffies(ahead_us * NSEC_PER_USEC));
	return signal_pending(current) ? -EINTR : 0;
}

static ssize_t membuddies_read(struct file *file, char __user *to, size_t size,
			       loff_t *offset)
{
	struct walk *walk = file->private_data;
	struct membuddies_block *block = &walk->block;
	struct tally tally = {};
	ssize_t done;

	if (size < sizeof(*block))
		return -EINVAL;
	if (mutex_lock_interruptible(&walk->lock))
		return -EINTR;
	done = keep_rate(walk);
	if (done)
		goto unlock;
	done = fill_block(walk, &tally);
	if (done <= 0)
		goto unlock;
	block->pages = cpu_to_le32(tally.pages);
	block->zero_pages = cpu_to_le32(tally.zero_pages);
	block->skipped_pages = cpu_to_le32(tally.skipped_pages);
	block->count = cpu_to_le32(tally.count);
	done = offsetof(struct membuddies_block, ids) +
	       tally.count * sizeof(block->ids[0]);
	if (copy_to_user(to, block, done))
		done = -EFAULT;
unlock:
	mutex_unlock(&walk->lock);
	return done;
}

static int membuddies_open(struct inode *inode, struct file *file)
{
	struct walk *walk;

	if (!capable(CAP_SYS_ADMIN))
		return -EPERM;
	if (test_and_set_bit(IS_OPEN, &state))
		return -EBUSY;
	walk = kzalloc(sizeof(*walk), GFP_KERNEL);
	if (!walk) {
		clear_bit(IS_OPEN, &state);
		return -ENOMEM;
	}
	mutex_init(&walk->lock);
	walk->nid = first_online_node;
	walk->started = ktime_get();
	xxh3_4096_init(&walk->key, seed);
	file->private_data = walk;
	return stream_open(inode, file);
}

static int membuddies_release(struct inode *inode, struct file *file)
{
	/* It holds the content of the last page. */
	kfree_sensitive(file->private_data);
	clear_bit(IS_OPEN, &state);
	return 0;
}

/* The owner keeps the module from being unloaded while a file is open. */
static const struct file_operations membuddies_operations = {
	.owner = THIS_MODULE,
	.open = membuddies_open,
	.read = membuddies_read,
	.release = membuddies_release,
};

static struct miscdevice membuddies_device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = MEMBUDDIES_DEVICE,
	.fops = &membuddies_operations,
	.mode = 0400,
};

static int __init membuddies_init(void)
{
	BUILD_BUG_ON(PAGE_SIZE != XXH3_4096_BYTES);
	BUILD_BUG_ON(sizeof(struct membuddies_block) != PAGE_SIZE);
	return misc_register(&membuddies_device);
}
module_init(membuddies_init);

static void __exit membuddies_exit(void)
{
	misc_deregister(&membuddies_device);
}
module_exit(membuddies_exit);

MODULE_AUTHOR("Memory Buddies for OpenStack Nova");
MODULE_DESCRIPTION("Tells root which pages this guest holds, as hashes");
MODULE_LICENSE("Dual MIT/GPL");
