/*
 * latency.c
 *	  How long until a listener has what was sent, at a fixed rate.
 *
 *	latency RATE SECONDS SEND LISTEN
 *
 * SEND is the statement that sends, with $1 the group, $2 the user and $3 the
 * message; LISTEN makes a session listen to all 64 groups.  Message n is due at
 * n / RATE whatever became of those before it (an open loop): when every session
 * is busy it waits here, and that counts.  The first second does not count.
 *
 * Prints, in microseconds, p50, p99 and p99.9 from the moment that the sender was
 * told of the commit to the moment that the listener had the event, then the same
 * three from the moment that the message was due.  Sender and listener are one
 * process and have one clock.
 */
#define _GNU_SOURCE

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/prctl.h>

#include "client.h"

#define SENDERS 32
#define GROUPS 64
#define MARK "bench message #"
#define PATIENCE_US 60e6

typedef struct Message
{
	double		due;
	double		committed;
	double		heard;
} Message;

static double rate;
static int	warm_up;
static int	total;
static Message *messages;
static int	nsent = 0;
static int	nheard = 0;

static PGconn *senders[SENDERS];
static int	sending[SENDERS];	/* the message that is under way, or -1 */
static PGconn *listener;
static struct pollfd fds[SENDERS + 1];	/* the last is the listener's */

static void
open_sessions(const char *send, const char *listen)
{
	for (int i = 0; i < SENDERS; i++)
	{
		senders[i] = connect_or_die();
		prepare(senders[i], send);
		sending[i] = -1;
		fds[i].fd = PQsocket(senders[i]);
		fds[i].events = POLLIN;
	}
	listener = connect_or_die();
	execute(listener, listen);
	fds[SENDERS].fd = PQsocket(listener);
	fds[SENDERS].events = POLLIN;
}

static void
send_message(int sender, int n)
{
	char		group[16];
	char		user[16];
	char		body[64];
	const char *values[] = {group, user, body};

	snprintf(group, sizeof(group), "%d", 1 + n % GROUPS);
	snprintf(user, sizeof(user), "%d", 1 + sender);
	snprintf(body, sizeof(body), MARK "%d, and what a person may write", n);
	if (!PQsendQueryPrepared(senders[sender], "bench", 3, values, NULL, NULL, 0) ||
		PQflush(senders[sender]) != 0)
		die("%s", PQerrorMessage(senders[sender]));
	sending[sender] = n;
}

static void
send_what_is_due(void)
{
	double		now = now_us();

	for (int i = 0; i < SENDERS && nsent < total && messages[nsent].due <= now; i++)
		if (sending[i] < 0)
			send_message(i, nsent++);
}

static void
take_answer(int sender)
{
	PGconn	   *conn = senders[sender];
	PGresult   *result;

	if (!PQconsumeInput(conn))
		die("%s", PQerrorMessage(conn));
	while (sending[sender] >= 0 && !PQisBusy(conn))
	{
		result = PQgetResult(conn);
		if (result != NULL)
			check_result(conn, result);
		else
		{
			messages[sending[sender]].committed = now_us();
			sending[sender] = -1;
		}
	}
}

static void
hear(void)
{
	PGnotify   *notify;

	if (!PQconsumeInput(listener))
		die("%s", PQerrorMessage(listener));
	while ((notify = PQnotifies(listener)) != NULL)
	{
		const char *mark = strstr(notify->extra, MARK);
		int			n = mark == NULL ? -1 : atoi(mark + strlen(MARK));

		if (n < 0 || n >= total || messages[n].heard != 0)
			die("not a message of this run, or heard twice: %s", notify->extra);
		messages[n].heard = now_us();
		nheard++;
		PQfreemem(notify);
	}
}

static bool
is_any_sending(void)
{
	for (int i = 0; i < SENDERS; i++)
		if (sending[i] >= 0)
			return true;
	return false;
}

static void
wait_for_something(void)
{
	double		left = nsent < total ? messages[nsent].due - now_us() : 1e5;
	struct timespec timeout = {0, 0};

	/* Overdue: no session is free, so an answer is what there is to wait for. */
	if (left <= 0)
		left = 1e5;
	timeout.tv_sec = (long) (left / 1e6);
	timeout.tv_nsec = (long) (left * 1e3) % 1000000000;
	if (ppoll(fds, SENDERS + 1, &timeout, NULL) < 0 && errno != EINTR)
		die("poll: %s", strerror(errno));
}

static void
run(void)
{
	double		start = now_us() + 1e4;
	double		deadline = start + total / rate * 1e6 + PATIENCE_US;

	for (int n = 0; n < total; n++)
		messages[n].due = start + n / rate * 1e6;
	while (nheard < total || is_any_sending())
	{
		if (now_us() > deadline)
			die("%d messages were sent and %d heard", nsent, nheard);
		send_what_is_due();
		wait_for_something();
		if (fds[SENDERS].revents)
			hear();
		for (int i = 0; i < SENDERS; i++)
			if (fds[i].revents)
				take_answer(i);
	}
}

static int
compare_doubles(const void *a, const void *b)
{
	double		x = *(const double *) a;
	double		y = *(const double *) b;

	return (x > y) - (x < y);
}

static void
print_percentiles(double *values, int n)
{
	qsort(values, n, sizeof(double), compare_doubles);
	printf("%.1f %.1f %.1f ", values[n / 2], values[(int) (n * 0.99)], values[(int) (n * 0.999)]);
}

static void
report(void)
{
	int			n = total - warm_up;
	double	   *since_commit = malloc(n * sizeof(double));
	double	   *since_due = malloc(n * sizeof(double));

	if (since_commit == NULL || since_due == NULL)
		die("out of memory");
	for (int i = 0; i < n; i++)
	{
		const Message *message = &messages[warm_up + i];

		since_commit[i] = message->heard - message->committed;
		since_due[i] = message->heard - message->due;
	}
	print_percentiles(since_commit, n);
	print_percentiles(since_due, n);
	putchar('\n');
}

int
main(int argc, char **argv)
{
	if (argc != 5)
		die("usage: latency RATE SECONDS SEND LISTEN");
	rate = atof(argv[1]);
	warm_up = (int) rate;
	total = warm_up + (int) (rate * atof(argv[2]));
	messages = calloc(total, sizeof(Message));
	if (rate < 1 || total <= warm_up || messages == NULL)
		die("RATE and SECONDS must be positive");
	(void) prctl(PR_SET_TIMERSLACK, 1UL);
	open_sessions(argv[3], argv[4]);
	run();
	report();
	return 0;
}
