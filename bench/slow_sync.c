/*
 * slow_sync.c
 *	  A disk that takes longer: each fdatasync() sleeps before it does its work.
 *
 * Preloaded into a server (LD_PRELOAD), whose WAL is flushed with fdatasync().
 * SLOW_SYNC_US says how long, in microseconds; the real fdatasync() comes on
 * top.  Sleeping costs no CPU, as waiting for a disk or a standby does not.
 */
#define _GNU_SOURCE

#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <time.h>

static int	(*real_fdatasync) (int fd);
static struct timespec delay = {0, 1000000};

__attribute__((constructor)) static void
slow_sync_init(void)
{
	const char *microseconds = getenv("SLOW_SYNC_US");

	real_fdatasync = (int (*) (int)) dlsym(RTLD_NEXT, "fdatasync");
	if (microseconds != NULL)
	{
		long		us = atol(microseconds);

		delay.tv_sec = us / 1000000;
		delay.tv_nsec = us % 1000000 * 1000;
	}
}

int
fdatasync(int fd)
{
	struct timespec left = delay;

	/*
	 * Otherwise the kernel adds 50 us.  A fork begins with its parent's
	 * value.
	 */
	(void) prctl(PR_SET_TIMERSLACK, 1UL);
	while (nanosleep(&left, &left) != 0 && errno == EINTR)
		continue;
	return real_fdatasync(fd);
}
