/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * What differs between the kernels that the module is
 * built for, and nothing else. The oldest is Linux 6.1.
 */
#ifndef MEMBUDDIES_COMPAT_H
#define MEMBUDDIES_COMPAT_H

#include <linux/mmzone.h>
#include <linux/version.h>

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 1, 0)
#error "the module needs Linux 6.1 or later"
#endif

/* asm/unaligned.h moved to linux/ in 6.12. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 12, 0)
#include <linux/unaligned.h>
#else
#include <asm/unaligned.h>
#endif

/*
 * The largest order of a free block. MAX_ORDER was one more than that, was
 * made to include it in 6.4, and became MAX_PAGE_ORDER in 6.8.
 */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 8, 0)
#define MEMBUDDIES_LARGEST_ORDER	MAX_PAGE_ORDER
#elif LINUX_VERSION_CODE >= KERNEL_VERSION(6, 4, 0)
#define MEMBUDDIES_LARGEST_ORDER	MAX_ORDER
#else
#define MEMBUDDIES_LARGEST_ORDER	(MAX_ORDER - 1)
#endif

#endif /* MEMBUDDIES_COMPAT_H */
