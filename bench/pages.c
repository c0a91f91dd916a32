/*
 * pages.c
 *	  How long a client that was away takes to catch up, page by page.
 *
 *	pages CURSOR STATEMENT
 *
 * STATEMENT asks for the page after the cursor $1; it returns one row of the next
 * cursor, whether there is more, how many events the page has, and the page.  Prints
 * the milliseconds of all pages together, how many pages, and how many events.
 */
#include <stdbool.h>
#include <string.h>

#include "client.h"

int
main(int argc, char **argv)
{
	PGconn	   *conn;
	char	   *cursor;
	double		start;
	long		npages = 0;
	long		nevents = 0;

	if (argc != 3)
		die("usage: pages CURSOR STATEMENT");
	conn = connect_or_die();
	prepare(conn, argv[2]);
	cursor = strdup(argv[1]);
	start = now_us();
	for (bool more = true; more;)
	{
		const char *values[] = {cursor};
		PGresult   *page = PQexecPrepared(conn, "bench", 1, values, NULL, NULL, 0);

		if (PQresultStatus(page) != PGRES_TUPLES_OK)
			die("%s", PQerrorMessage(conn));
		free(cursor);
		cursor = strdup(PQgetvalue(page, 0, 0));
		more = strcmp(PQgetvalue(page, 0, 1), "true") == 0;
		nevents += atol(PQgetvalue(page, 0, 2));
		npages++;
		PQclear(page);
	}
	printf("%.1f %ld %ld\n", (now_us() - start) / 1e3, npages, nevents);
	PQfinish(conn);
	return 0;
}
