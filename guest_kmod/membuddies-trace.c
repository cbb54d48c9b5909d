// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * membuddies-trace - samples this guest's memory, for the agent on its host.
 *
 * The agent runs it by the QEMU guest agent. It loads the module, reads one
 * walk from /dev/membuddies, removes the module and leaves the sample in
 * /run/membuddies/sample, which root alone may read; trace_sample.h tells what
 * is in it. Its exit status is all that it tells the host; what went wrong goes
 * to the guest's own kernel log.
 *
 *	membuddies-trace [--all-pages] SEED SECONDS	make a sample in this time
 *	membuddies-trace --remove			delete it
 *
 * It needs no library and no program of the guest. Whatever ends it, the
 * module is removed, but for SIGKILL: then the next run removes it.
 */

#define _GNU_SOURCE
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "membuddies_stream.h"
#include "trace_sample.h"

#define DIRECTORY	"/run/membuddies"
#define SAMPLE		DIRECTORY "/sample"
#define UNFINISHED	DIRECTORY "/sample.new"
#define LOCK		DIRECTORY "/lock"
#define DEVICE		"/dev/" MEMBUDDIES_DEVICE
#define MODULE		"membuddies"

#define MAX_SECONDS	86400

/* How long a module that was just closed or loaded may take to be ready. */
#define TRIES		50
#define TRY_NANOSECONDS	20000000

/* MODULE_INIT_COMPRESSED_FILE of linux/module.h, since Linux 5.17. */
#define COMPRESSED	4

/* The agent knows these, in agent/membuddies_agent/trace.py. */
enum status {
	DONE = 0,
	FAILED = 1,
	WRONG_CALL = 2,
	NO_MODULE = 3,
	MODULE_REFUSED = 4,
	BUSY = 5,
};

static volatile sig_atomic_t interrupted;

static void interrupt(int number)
{
	(void)number;
	interrupted = 1;
}

static bool write_all(int file, const void *data, size_t size)
{
	const char *at = data;

	while (size) {
		ssize_t done = write(file, at, size);

		if (done < 0)
			return false;
		at += done;
		size -= done;
	}
	return true;
}

/*
 * To whoever called it by hand, and to the kernel's log with its priority, where
 * stdio fails: it seeks.
 */
__attribute__((format(printf, 1, 2))) static void complain(const char *format, ...)
{
	static const char priority[] = "<3>", name[] = "<3>membuddies-trace: ";
	char text[256];
	va_list arguments;
	size_t size = sizeof(name) - 1;
	int log;

	memcpy(text, name, size);
	va_start(arguments, format);
	vsnprintf(text + size, sizeof(text) - size - 1, format, arguments);
	va_end(arguments);
	size = strlen(text);
	text[size++] = '\n';
	write_all(STDERR_FILENO, text + sizeof(priority) - 1,
		  size - sizeof(priority) + 1);
	log = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);
	if (log >= 0) {
		write_all(log, text, size);
		close(log);
	}
}

static void wait_a_little(void)
{
	const struct timespec duration = { .tv_nsec = TRY_NANOSECONDS };

	nanosleep(&duration, NULL);
}

/* Where the package, or DKMS, puts the module; the first that is there wins. */
static int open_module(const char *release, int *flags)
{
	static const char *const directories[] = {
		"/lib/modules/%s/updates/dkms/" MODULE ".ko%s",
		"/lib/modules/%s/extra/" MODULE ".ko%s",
		"/usr/lib/membuddies/%s/" MODULE ".ko%s",
	};
	static const char *const suffixes[] = { "", ".xz", ".zst", ".gz" };
	char path[512];
	size_t directory, suffix;
	int file;

	for (directory = 0; directory < 3; directory++) {
		for (suffix = 0; suffix < 4; suffix++) {
			snprintf(path, sizeof(path), directories[directory],
				 release, suffixes[suffix]);
			file = open(path, O_RDONLY | O_CLOEXEC);
			if (file >= 0) {
				*flags = suffix ? COMPRESSED : 0;
				return file;
			}
		}
	}
	complain("no module for kernel %s: install its headers and dkms, or a package built for it",
		 release);
	return -1;
}

static void unload(void)
{
	int try;

	for (try = 0; try < TRIES; try++) {
		if (!syscall(SYS_delete_module, MODULE, O_NONBLOCK) ||
		    errno == ENOENT)
			return;
		wait_a_little();
	}
	complain("the module could not be removed: %m");
}

static enum status load(uint64_t seed, bool all_pages)
{
	char parameters[128];
	struct utsname system;
	int file, flags, try;
	long failed = -1;

	uname(&system);
	file = open_module(system.release, &flags);
	if (file < 0)
		return NO_MODULE;
	snprintf(parameters, sizeof(parameters), "seed=%llu shift=%d all_pages=%d",
		 (unsigned long long)seed, FIRST_SHIFT, all_pages);
	for (try = 0; failed && try < 2; try++) {
		failed = syscall(SYS_finit_module, file, parameters, flags);
		/* A run that was killed left it, with other parameters. */
		if (failed && errno == EEXIST)
			unload();
		else
			break;
	}
	if (failed)
		complain("the kernel refuses the module: %m");
	close(file);
	return failed ? MODULE_REFUSED : DONE;
}

/* Opens the device, which devtmpfs or udev may bring a moment later. */
static int open_device(void)
{
	int file = -1, try;

	for (try = 0; try < TRIES && !interrupted; try++) {
		file = open(DEVICE, O_RDONLY | O_CLOEXEC);
		if (file >= 0 || errno != ENOENT)
			break;
		wait_a_little();
	}
	if (file < 0)
		complain(DEVICE ": %s",
			 interrupted ? "interrupted" : strerror(errno));
	return file;
}

static enum status walk(void)
{
	static struct membuddies_block block;
	ssize_t got = -1;
	int file = open_device();

	if (file < 0)
		return FAILED;
	sample.shift = FIRST_SHIFT;
	while (!interrupted) {
		got = read(file, &block, sizeof(block));
		if (got <= 0)
			break;
		take(&block);
	}
	if (got)
		complain(DEVICE ": %s",
			 interrupted ? "interrupted" : strerror(errno));
	close(file);
	condense();
	return got ? FAILED : DONE;
}

static enum status leave(uint64_t seed)
{
	struct head head = {
		.magic = "MBTRACE1",
		.seed = htole64(seed),
		.pages = htole64(sample.pages),
		.zero_pages = htole64(sample.zero_pages),
		.skipped_pages = htole64(sample.skipped_pages),
		.shift = htole32(sample.shift),
		.count = htole32(sample.count),
	};
	bool whole;
	size_t at;
	int file;

	for (at = 0; at < sample.count; at++)
		sample.ids[at] = htole64(sample.ids[at]);
	unlink(UNFINISHED);
	file = open(UNFINISHED,
		    O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	whole = file >= 0 && write_all(file, &head, sizeof(head)) &&
		write_all(file, sample.ids, sample.count * sizeof(sample.ids[0]));
	if (!whole || rename(UNFINISHED, SAMPLE)) {
		complain(SAMPLE ": %m");
		unlink(UNFINISHED);
		return FAILED;
	}
	return DONE;
}

static enum status trace(uint64_t seed, bool all_pages)
{
	enum status status;

	unlink(SAMPLE);
	status = load(seed, all_pages);
	if (status != DONE)
		return status;
	status = walk();
	unload();
	return status == DONE ? leave(seed) : status;
}

/* The directory is root's alone; the lock in it keeps a second run out. */
static enum status prepare(void)
{
	struct stat found;
	int lock;

	umask(077);
	if (mkdir(DIRECTORY, 0700) && errno != EEXIST) {
		complain(DIRECTORY ": %m");
		return FAILED;
	}
	if (lstat(DIRECTORY, &found) || !S_ISDIR(found.st_mode) ||
	    found.st_uid != geteuid() || found.st_mode & 077) {
		complain(DIRECTORY " is not a directory of root alone");
		return FAILED;
	}
	lock = open(LOCK, O_RDONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (lock < 0 || flock(lock, LOCK_EX | LOCK_NB)) {
		complain(LOCK ": %m");
		return lock < 0 ? FAILED : BUSY;
	}
	return DONE;
}

static bool parse(const char *text, uint64_t limit, uint64_t *number)
{
	char *end;

	errno = 0;
	*number = strtoull(text, &end, 10);
	return *text >= '0' && *text <= '9' && !*end && !errno &&
	       *number <= limit;
}

static void catch_signals(void)
{
	/* Without SA_RESTART, so that a read ends. */
	const struct sigaction action = { .sa_handler = interrupt };

	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
	sigaction(SIGALRM, &action, NULL);
}

int main(int count, char **arguments)
{
	bool all_pages = count == 4 && !strcmp(arguments[1], "--all-pages");
	bool removing = count == 2 && !strcmp(arguments[1], "--remove");
	uint64_t seed = 0, seconds = 0;
	enum status status;

	if (!removing && ((count != 3 && !all_pages) ||
			  !parse(arguments[count - 2], UINT64_MAX, &seed) ||
			  !parse(arguments[count - 1], MAX_SECONDS, &seconds))) {
		fputs("usage: membuddies-trace [--all-pages] SEED SECONDS\n"
		      "       membuddies-trace --remove\n"
		      "SEED: 0 to 18446744073709551615; SECONDS: 0 (no limit) to 86400\n",
		      stderr);
		return WRONG_CALL;
	}
	status = prepare();
	if (status != DONE)
		return status;
	if (removing) {
		unlink(SAMPLE);
		return DONE;
	}
	catch_signals();
	alarm(seconds);
	return trace(seed, all_pages);
}
