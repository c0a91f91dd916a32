/*
 * listener.c
 *	  Prints what happens in a chatrel user's groups as it comes, a line of JSON each.
 *
 *	cc -o listener listener.c -I$(pg_config --includedir) -L$(pg_config --libdir) -lpq
 *	./listener "dbname=app" 7	(how to connect; which user to be, or else the role's)
 *
 * sync() gives every event once, also those of the time when nobody was connected; its
 * cursor belongs with what is done with them.  NOTIFY brings the same objects: here it
 * says when to sync, and brings what is not kept.  Who is connected LISTENs, then syncs,
 * and again when something is heard; and now and then, as it may be gone without a word.
 */
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "libpq-fe.h"

/* In milliseconds; the time before it tries again doubles with every failure. */
#ifndef SYNC_EVERY
#define SYNC_EVERY 30000
#define ANSWER_WITHIN 10000
#endif
#define RETRY_FIRST 500
#define RETRY_LONGEST 30000

/* What the first argument says comes after this, and goes before it. */
#define CONNECT "connect_timeout=10 keepalives_idle=20 keepalives_interval=5" \
	" keepalives_count=3 tcp_user_timeout=20000 "

/* The server takes the answer apart: a row for each event, or one without. */
#define SYNC_SQL \
	"SELECT answer ->> 'cursor', answer ->> 'more', event" \
	" FROM chatrel.sync($1, as_user => $2) AS answer LEFT JOIN" \
	" jsonb_array_elements(answer -> 'events') WITH ORDINALITY AS e (event, n) ON true ORDER BY n"

static PGconn *conn;
static const char *user;		/* or NULL */
static char *cursor;			/* NULL: all events there are */

/* Waits until something comes, and takes it in; false if nothing does. */
static bool
take_in(int timeout)
{
	struct pollfd socket = {PQsocket(conn), POLLIN, 0};

	return poll(&socket, 1, timeout) > 0 && PQconsumeInput(conn);
}

/* Runs a statement; NULL, having complained, if that failed. */
static PGresult *
run(const char *sql, const char *argument)
{
	const char *values[] = {argument, user};
	const char *sqlstate;
	PGresult   *result = NULL;
	PGresult   *next = NULL;

	PQsendQueryParams(conn, sql, 2, NULL, values, NULL, NULL, 0);
	do
	{
		result = next != NULL ? next : result;
		while (PQisBusy(conn) && take_in(ANSWER_WITHIN));
	} while (!PQisBusy(conn) && (next = PQgetResult(conn)) != NULL);
	if (!PQisBusy(conn) && PQresultStatus(result) == PGRES_TUPLES_OK)
		return result;
	fprintf(stderr, "%s", PQisBusy(conn) ? "no answer\n" : PQerrorMessage(conn));
	if ((sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE)) && !strcmp(sqlstate, "55000"))
		free(cursor), cursor = NULL;	/* then all is printed again */
	PQclear(result);
	return NULL;
}

/* Every event comes here, heard or caught up with: {kind: {...}}. */
#define handle(event) (puts(event), fflush(stdout))

/* Handles what is new, page by page. */
static bool
catch_up(void)
{
	PGresult   *result;

	for (bool more = true; more; PQclear(result))
	{
		if ((result = run(SYNC_SQL, cursor)) == NULL)
			return false;
		for (int i = 0; i < PQntuples(result); i++)
			if (!PQgetisnull(result, i, 2))
				handle(PQgetvalue(result, i, 2));
		free(cursor);
		cursor = strdup(PQgetvalue(result, 0, 0));
		more = strcmp(PQgetvalue(result, 0, 1), "true") == 0;
	}
	return true;
}

/* What was heard: sync has it if it is kept (it has an id and a datetime), and goes first. */
static void
hear(const char *event)
{
	char		group[21];
	int			kept = 0;

	sscanf(event, "{\"%*[a-z_]\": {\"id\":%*[ \"0-9], \"datetime\":%n", &kept);
	if (sscanf(event, "{\"relisten\": {\"group_id\":%*[ \"]%20[0-9]", group) == 1)
		PQclear(run("SELECT chatrel.listen_group($1, as_user => $2)", group));
	else if (!kept && catch_up())
		handle(event);
}

static void
wait_and_hear(void)
{
	PGnotify   *notify = PQnotifies(conn);

	if (notify == NULL && take_in(SYNC_EVERY))
		notify = PQnotifies(conn);
	for (; notify != NULL; PQfreemem(notify), notify = PQnotifies(conn))
		hear(notify->extra);
}

int
main(int argc, char **argv)
{
	char		conninfo[1000];
	int			delay = RETRY_FIRST;

	snprintf(conninfo, sizeof(conninfo), CONNECT "%s", argc > 1 ? argv[1] : "");
	user = argc > 2 ? argv[2] : NULL;
	srand(getpid() ^ time(NULL));
	for (;; delay = delay < RETRY_LONGEST / 2 ? 2 * delay : RETRY_LONGEST)
	{
		PGresult   *listening;
		int			pause;

		conn = PQconnectdb(conninfo);
		listening = run("SELECT chatrel.listen(as_user => $2), $1::text", NULL);
		for (; listening != NULL && catch_up(); delay = RETRY_FIRST)
			wait_and_hear();
		PQclear(listening);
		PQfinish(conn);
		pause = delay / 2 + rand() % (delay / 2);	/* not all clients at once */
		fprintf(stderr, "trying again in %d ms\n", pause);
		poll(NULL, 0, pause);
	}
}
