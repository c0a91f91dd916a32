/*
 * listener.c
 *	  Prints the messages of a chatrel user's groups as they come, each once.
 *
 *	cc -o listener listener.c -I$(pg_config --includedir) -L$(pg_config --libdir) -lpq
 *	./listener "dbname=app" 7
 *
 * The first argument says how to connect, the second which user to be; without
 * it, the user of the role that connects.
 *
 * sync() gives every message once, also those that were sent while nobody was
 * connected: what it needs is the cursor of its last answer.  NOTIFY only says
 * when to call it.  So, for every connection: sync, to catch up; LISTEN; sync
 * again, for what came between the two; then sync whenever something is heard.
 *
 * The cursor is kept in memory here.  A program that is to go on after it was
 * ended keeps it with what it does with the messages, in one transaction.
 */
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libpq-fe.h"

static PGconn *conn;
static const char *user;		/* or NULL */
static char *cursor;			/* NULL: all messages there are */

/* The server takes the answer apart: a row for each message, or one without. */
#define SYNC_SQL \
	"SELECT answer ->> 'cursor', answer ->> 'more', m ->> 'id', m ->> 'group_id'," \
	" m ->> 'sender_id', m -> 'message' FROM chatrel.sync($1, as_user => $2) AS answer" \
	" LEFT JOIN jsonb_array_elements(answer -> 'messages') WITH ORDINALITY AS e (m, n) ON true" \
	" ORDER BY n"

static const char listen_sql[] = "SELECT chatrel.listen(as_user => $2), $1::text";
static const char listen_group_sql[] = "SELECT chatrel.listen_group($1, as_user => $2)";

/* Runs a statement; NULL, having complained, if that failed. */
static PGresult *
run(const char *sql, const char *argument)
{
	const char *values[] = {argument, user};
	PGresult   *result = PQexecParams(conn, sql, 2, NULL, values, NULL, NULL, 0);
	const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);

	if (PQresultStatus(result) == PGRES_TUPLES_OK)
		return result;
	fprintf(stderr, "%s", PQresultErrorMessage(result));

	/*
	 * The server was replaced by one that has lost something.  Whoever shows
	 * messages loads them again now; this program prints them all again.
	 */
	if (sqlstate != NULL && strcmp(sqlstate, "55000") == 0)
	{
		free(cursor);
		cursor = NULL;
	}
	PQclear(result);
	return NULL;
}

/* Prints what is new, page by page. */
static bool
catch_up(void)
{
	bool		more = true;

	while (more)
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

/* A group has another channel now, or it is new to the user. */
static void
heed(const char *event)
{
	char		group[21];

	/* Refused if the user is not in the group any more: nothing to hear then. */
	if (sscanf(event, "{\"relisten\": {\"group_id\": %20[0-9]", group) == 1)
		PQclear(run(listen_group_sql, group));
}

/* Until the connection is lost, or something fails. */
static void
go_on(void)
{
	PGresult   *listening;

	if (!catch_up() || (listening = run(listen_sql, NULL)) == NULL)
		return;
	PQclear(listening);
	while (catch_up())
	{
		struct pollfd socket = {PQsocket(conn), POLLIN, 0};
		PGnotify   *notify;
		bool		heard = false;

		while (!heard)
		{
			while ((notify = PQnotifies(conn)) != NULL)
			{
				heed(notify->extra);
				PQfreemem(notify);
				heard = true;
			}
			if (!heard && poll(&socket, 1, -1) < 0 && errno != EINTR)
				return;
			if (!PQconsumeInput(conn))
				return;
		}
	}
}

int
main(int argc, char **argv)
{
	user = argc > 2 ? argv[2] : NULL;
	for (;;)
	{
		conn = PQconnectdb(argc > 1 ? argv[1] : "");
		if (PQstatus(conn) == CONNECTION_OK)
			go_on();
		fprintf(stderr, "%strying again\n", PQerrorMessage(conn));
		PQfinish(conn);
		sleep(1);
	}
}
