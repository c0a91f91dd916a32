/*
 * listener.c
 *	  Prints the messages of a chatrel user's groups as they come, each once.
 *
 *	cc -o listener listener.c -I$(pg_config --includedir) -L$(pg_config --libdir) -lpq
 *	./listener "dbname=app" 7	(how to connect; which user to be, or else the role's)
 *
 * sync() gives every message once, also those that were sent while nobody was
 * connected; it needs the cursor of its last answer, which belongs with what is done
 * with the messages.  NOTIFY only says when to call it.  So, for every connection:
 * sync; LISTEN; sync again, for what came between the two; then whenever something
 * is heard, and now and then, as a connection may be gone without a word.
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

/* The server takes the answer apart: a row for each message, or one without. */
#define SYNC_SQL \
	"SELECT answer ->> 'cursor', answer ->> 'more', m ->> 'id', m ->> 'group_id'," \
	" m ->> 'sender_id', m -> 'message' FROM chatrel.sync($1, as_user => $2) AS answer" \
	" LEFT JOIN jsonb_array_elements(answer -> 'messages') WITH ORDINALITY AS e (m, n) ON true" \
	" ORDER BY n"
#define LISTEN_SQL "SELECT chatrel.listen(as_user => $2), $1::text"
#define LISTEN_GROUP_SQL "SELECT chatrel.listen_group($1, as_user => $2)"

static PGconn *conn;
static const char *user;		/* or NULL */
static char *cursor;			/* NULL: all messages there are */

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
	sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
	if (sqlstate != NULL && strcmp(sqlstate, "55000") == 0)
		free(cursor), cursor = NULL;	/* then all is printed again */
	PQclear(result);
	return NULL;
}

/* Prints what is new, page by page. */
static bool
catch_up(void)
{
	for (bool more = true; more;)
	{
		PGresult   *result = run(SYNC_SQL, cursor);

		if (result == NULL)
			return false;
		for (int i = 0; i < PQntuples(result); i++)
			if (!PQgetisnull(result, i, 2))
				printf("%s group %s user %s: %s\n", PQgetvalue(result, i, 2),
					   PQgetvalue(result, i, 3), PQgetvalue(result, i, 4),
					   PQgetvalue(result, i, 5));
		fflush(stdout);
		free(cursor);
		cursor = strdup(PQgetvalue(result, 0, 0));
		more = strcmp(PQgetvalue(result, 0, 1), "true") == 0;
		PQclear(result);
	}
	return true;
}

/* Until the connection is lost, or something fails; false if it has not come to listen. */
static bool
go_on(void)
{
	PGresult   *listening = catch_up() ? run(LISTEN_SQL, NULL) : NULL;

	PQclear(listening);
	while (listening != NULL && catch_up())
	{
		PGnotify   *notify = PQnotifies(conn);
		char		group[21];

		if (notify == NULL && take_in(SYNC_EVERY))
			notify = PQnotifies(conn);
		for (; notify != NULL; PQfreemem(notify), notify = PQnotifies(conn))
			if (sscanf(notify->extra, "{\"relisten\": {\"group_id\":%*[ \"]%20[0-9]", group) == 1)
				PQclear(run(LISTEN_GROUP_SQL, group));
	}
	return listening != NULL;
}

int
main(int argc, char **argv)
{
	char		conninfo[1000];
	int			delay = RETRY_FIRST;
	int			pause;

	snprintf(conninfo, sizeof(conninfo), CONNECT "%s", argc > 1 ? argv[1] : "");
	user = argc > 2 ? argv[2] : NULL;
	srand(getpid() ^ time(NULL));
	for (;;)
	{
		conn = PQconnectdb(conninfo);
		if (PQstatus(conn) == CONNECTION_OK && go_on())
			delay = RETRY_FIRST;
		pause = delay / 2 + rand() % (delay / 2);	/* not all clients at once */
		fprintf(stderr, "%strying again in %d ms\n", PQerrorMessage(conn), pause);
		PQfinish(conn);
		poll(NULL, 0, pause);
		delay = delay < RETRY_LONGEST / 2 ? 2 * delay : RETRY_LONGEST;
	}
}
