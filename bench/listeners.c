/*
 * listeners.c
 *	  Many sessions that listen, in one process, and count what they hear.
 *
 *	listeners COUNT STATEMENT
 *
 * STATEMENT makes a session listen; its $1 is the group.  Listener i has group
 * 1 + (8 i + i / 8) mod 64: eight listeners are one per eight groups, and more
 * spread evenly.  Prints "ready" when all listen.  Then a line on standard input
 * says how many notifications there are to hear: waits for them, but no longer
 * than 20 seconds, prints how many were heard, and ends.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>

#include "client.h"

#define PATIENCE_US 20e6

static int	count;
static PGconn **conns;
static struct pollfd *fds;		/* the last is standard input */
static long heard = 0;
static long expected = -1;

static void
listen_all(const char *statement)
{
	for (int i = 0; i < count; i++)
	{
		char		group[16];
		const char *values[] = {group};

		snprintf(group, sizeof(group), "%d", 1 + (8 * i + i / 8) % 64);
		conns[i] = connect_or_die();
		check_result(conns[i], PQexecParams(conns[i], statement, 1, NULL, values, NULL, NULL, 0));
		fds[i].fd = PQsocket(conns[i]);
		fds[i].events = POLLIN;
	}
}

static void
hear(PGconn *conn)
{
	PGnotify   *notify;

	if (!PQconsumeInput(conn))
		die("%s", PQerrorMessage(conn));
	while ((notify = PQnotifies(conn)) != NULL)
	{
		heard++;
		PQfreemem(notify);
	}
}

static void
read_expected(void)
{
	char		line[32];

	if (fgets(line, sizeof(line), stdin) == NULL)
		exit(0);
	expected = atol(line);
	fds[count].fd = -1;
}

int
main(int argc, char **argv)
{
	double		deadline = 0;

	if (argc != 3 || (count = atoi(argv[1])) < 0)
		die("usage: listeners COUNT STATEMENT");
	conns = calloc(count + 1, sizeof(*conns));
	fds = calloc(count + 1, sizeof(*fds));
	if (conns == NULL || fds == NULL)
		die("out of memory");
	listen_all(argv[2]);
	fds[count].fd = 0;
	fds[count].events = POLLIN;
	puts("ready");
	fflush(stdout);

	while (expected < 0 || (heard < expected && now_us() < deadline))
	{
		if (poll(fds, count + 1, 100) < 0 && errno != EINTR)
			die("poll: %s", strerror(errno));
		for (int i = 0; i < count; i++)
			if (fds[i].revents)
				hear(conns[i]);
		if (fds[count].revents)
		{
			read_expected();
			deadline = now_us() + PATIENCE_US;
		}
	}
	printf("%ld\n", heard);
	return 0;
}
