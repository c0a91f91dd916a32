/*
 * cost.c
 *	  What a statement costs: one session repeats it as fast as it can.
 *
 *	cost SECONDS STATEMENT [PARAMETER ...]
 *
 * Prints executions per second, and the CPU time of the server's process for
 * each in microseconds, over the same executions: from /proc/PID/schedstat, which
 * counts nanoseconds, or from utime and stime in /proc/PID/stat.  The statement is
 * prepared, and synchronous_commit is off.
 */
#include <unistd.h>

#include "client.h"

#define WARM_UP 2000

static double
read_schedstat(int pid)
{
	char		path[64];
	double		nanoseconds = 0;
	FILE	   *file;

	snprintf(path, sizeof(path), "/proc/%d/schedstat", pid);
	file = fopen(path, "r");
	if (file == NULL)
		return 0;
	if (fscanf(file, "%lf", &nanoseconds) != 1)
		nanoseconds = 0;
	fclose(file);
	return nanoseconds / 1e3;
}

static double
read_ticks(int pid)
{
	char		path[64];
	unsigned long utime;
	unsigned long stime;
	FILE	   *file;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	file = fopen(path, "r");

	/*
	 * After the command's name, which ends with the last parenthesis, utime
	 * is the 12th.
	 */
	if (file == NULL ||
		fscanf(file, "%*d (%*[^)])%*[)] %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu",
			   &utime, &stime) != 2)
		die("%s cannot be read", path);
	fclose(file);
	return (utime + stime) * 1e6 / sysconf(_SC_CLK_TCK);
}

static double
cpu_us(int pid)
{
	double		us = read_schedstat(pid);

	return us > 0 ? us : read_ticks(pid);
}

static void
run(PGconn *conn, int nparams, char **params)
{
	check_result(conn, PQexecPrepared(conn, "bench", nparams,
									  (const char *const *) params, NULL, NULL, 0));
}

int
main(int argc, char **argv)
{
	PGconn	   *conn;
	double		start;
	double		cpu;
	double		end;
	long		n = 0;

	if (argc < 3)
		die("usage: cost SECONDS STATEMENT [PARAMETER ...]");
	conn = connect_or_die();
	execute(conn, "SET synchronous_commit = off");
	prepare(conn, argv[2]);
	for (int i = 0; i < WARM_UP; i++)
		run(conn, argc - 3, argv + 3);

	start = now_us();
	cpu = cpu_us(PQbackendPID(conn));
	end = start + atof(argv[1]) * 1e6;
	do
	{
		run(conn, argc - 3, argv + 3);
		n++;
	} while (now_us() < end);
	cpu = cpu_us(PQbackendPID(conn)) - cpu;
	printf("%.1f %.3f\n", n / (now_us() - start) * 1e6, cpu / n);
	PQfinish(conn);
	return 0;
}
