/*
 * cursor_text.c
 *	  A libFuzzer harness for src/receive/cursor_text.c, outside of any server.
 *
 * script/test-fuzz compiles both with -fsanitize=fuzzer,address,undefined.  The
 * bytes are taken twice: as a text that somebody passes for a cursor, and as
 * what a cursor is made of.
 *
 *	  A text is an error (22023, and no other), or a cursor; then what is printed
 *	  of it is that text, but for zeros and capitals, and reads as the same cursor.
 *	  A cursor is printed as a text that reads as that cursor.
 *	  Memory is in proportion to the text.
 *
 * Of the server there are the stand-ins below: palloc is malloc, so that the
 * sanitizer knows every chunk's bounds, and an error is a longjmp.
 */
#include "postgres.h"

#include <setjmp.h>

#include "lib/stringinfo.h"

#include "receive/cursor_text.h"

/* Not the server's own. */
#undef vsnprintf
#undef fprintf

/* What one run has allocated; a text of the longest input makes fewer chunks. */
#define MAX_CHUNKS	64

/* The longest text of a range is 3 * 16 digits and 3 signs; the least one is "0-1:0;". */
#define MEMORY_LIMIT(length)	(4096 + 4 * (length) * sizeof(CursorRange))

extern int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What palloc_array() is made of in newer minor versions; the headers of older ones do not tell. */
extern void *palloc_mul(Size one, Size number);

/* ---------- stand-ins ---------- */

static void *chunks[MAX_CHUNKS];
static int	nchunks;
static Size allocated;
static jmp_buf error_jump;
static int	error_code;

static void
demand(bool condition, const char *what)
{
	if (!condition)
	{
		fprintf(stderr, "not so: %s\n", what);
		abort();
	}
}

void *
palloc(Size size)
{
	demand(nchunks < MAX_CHUNKS, "few allocations");
	allocated += size;
	chunks[nchunks] = malloc(size);
	demand(chunks[nchunks] != NULL, "there is memory");
	return chunks[nchunks++];
}

void *
palloc_mul(Size one, Size number)
{
	Size		size;

	demand(!__builtin_mul_overflow(one, number, &size), "the size of an array is no overflow");
	return palloc(size);
}

void *
palloc0(Size size)
{
	return memset(palloc(size), 0, size);
}

void *
repalloc(void *pointer, Size size)
{
	int			i = 0;

	while (i < nchunks && chunks[i] != pointer)
		i++;
	demand(i < nchunks, "only what was allocated grows");
	allocated += size;
	chunks[i] = realloc(pointer, size);
	demand(chunks[i] != NULL, "there is memory");
	return chunks[i];
}

static void
free_all(void)
{
	while (nchunks > 0)
		free(chunks[--nchunks]);
	allocated = 0;
}

void
initStringInfo(StringInfo string)
{
	string->maxlen = 1024;
	string->data = palloc(string->maxlen);
	string->data[0] = '\0';
	string->len = string->cursor = 0;
}

void
appendStringInfo(StringInfo string, const char *format,...)
{
	va_list		args;
	int			room = string->maxlen - string->len;
	int			length;

	va_start(args, format);
	length = vsnprintf(string->data + string->len, room, format, args);
	va_end(args);
	if (length >= room)
	{
		string->maxlen = 2 * string->maxlen + length;
		string->data = repalloc(string->data, string->maxlen);
		va_start(args, format);
		vsnprintf(string->data + string->len, string->maxlen - string->len, format, args);
		va_end(args);
	}
	string->len += length;
}

bool
errstart(int elevel, const char *domain)
{
	demand(elevel == ERROR, "only errors are reported");
	error_code = 0;
	return true;
}

bool
errstart_cold(int elevel, const char *domain)
{
	return errstart(elevel, domain);
}

int
errcode(int sqlstate)
{
	error_code = sqlstate;
	return 0;
}

int
errmsg(const char *format,...)
{
	return 0;
}

int
errhint(const char *format,...)
{
	return 0;
}

void
errfinish(const char *file, int line, const char *function)
{
	longjmp(error_jump, 1);
}

/* ---------- what must hold ---------- */

static void
demand_same(const Cursor *a, const Cursor *b)
{
	demand(a->user_id == b->user_id && a->group_id == b->group_id && a->high == b->high,
		   "the ids are the same");
	demand(a->anchor.id == b->anchor.id && a->anchor.xid == b->anchor.xid,
		   "the anchor is the same");
	demand(a->origin.epoch.id == b->origin.epoch.id &&
		   a->origin.epoch.started_at == b->origin.epoch.started_at &&
		   a->origin.epoch.database == b->origin.epoch.database, "the epoch is the same");
	demand(a->origin.system == b->origin.system && a->origin.timeline == b->origin.timeline &&
		   a->origin.position == b->origin.position && a->origin.schema == b->origin.schema,
		   "the origin is the same");
	demand(a->nranges == b->nranges, "there are as many ranges");
	for (int i = 0; i < a->nranges; i++)
		demand(a->ranges[i].lo == b->ranges[i].lo && a->ranges[i].hi == b->ranges[i].hi &&
			   a->ranges[i].seen == b->ranges[i].seen, "the ranges are the same");
}

static void
demand_in_order(const Cursor *cursor)
{
	demand(cursor->user_id >= 0 && cursor->group_id >= 0 && cursor->high >= 0, "no id is negative");
	for (int i = 0; i < cursor->nranges; i++)
	{
		demand(cursor->ranges[i].lo < cursor->ranges[i].hi, "no range is empty");
		demand(cursor->ranges[i].seen >= 0, "what was seen is not negative");
		demand(i == 0 || cursor->ranges[i - 1].hi <= cursor->ranges[i].lo,
			   "the ranges are disjoint");
	}
}

/* The text with its numbers as they are printed: without leading zeros, in small letters. */
static char *
canonical(const char *string)
{
	char	   *result = palloc(strlen(string) + 1);
	char	   *end = result;

	for (const char *p = string; *p != '\0'; p++)
	{
		bool		begins = p == string || !isxdigit((unsigned char) p[-1]);

		while (begins && *p == '0' && isxdigit((unsigned char) p[1]))
			p++;
		*end++ = tolower((unsigned char) *p);
	}
	*end = '\0';
	return result;
}

static void
check_text(const char *text)
{
	Cursor	   *cursor = cursor_text_parse(text);
	char	   *printed = cursor_text_print(cursor);
	Cursor	   *again = cursor_text_parse(printed);

	demand_in_order(cursor);
	demand_same(cursor, again);
	demand(strcmp(printed, canonical(text)) == 0, "what is printed is what was read");
}

/* The next eight bytes, of which few bits are often all: small numbers matter too. */
static uint64
take(const uint8_t **data, size_t *size)
{
	uint64		value = 0;
	size_t		n = Min(*size, sizeof(value));

	memcpy(&value, *data, n);
	*data += n;
	*size -= n;
	return value >> (value & 63);
}

static void
check_cursor(const uint8_t *data, size_t size)
{
	Cursor		cursor = {0};
	uint64		last = 0;

	cursor.origin.system = take(&data, &size);
	cursor.origin.timeline = (TimeLineID) take(&data, &size);
	cursor.origin.position = take(&data, &size);
	cursor.origin.schema = (Oid) take(&data, &size);
	cursor.origin.epoch.id = take(&data, &size) & PG_INT64_MAX;
	cursor.origin.epoch.started_at = take(&data, &size) & PG_INT64_MAX;
	cursor.origin.epoch.database = (Oid) take(&data, &size);
	cursor.user_id = take(&data, &size) & PG_INT64_MAX;
	cursor.group_id = take(&data, &size) & PG_INT64_MAX;
	cursor.high = take(&data, &size) & PG_INT64_MAX;
	cursor.anchor.id = take(&data, &size) & PG_INT64_MAX;
	cursor.anchor.xid = take(&data, &size);
	cursor.ranges = palloc((size / 24 + 1) * sizeof(CursorRange));
	while (size >= 24)
	{
		CursorRange *range = &cursor.ranges[cursor.nranges];
		uint64		gap = take(&data, &size);
		uint64		width = take(&data, &size);

		range->seen = take(&data, &size) & PG_INT64_MAX;
		if (gap > PG_UINT64_MAX - last || width == 0 || width > PG_UINT64_MAX - last - gap)
			continue;
		range->lo = last + gap;
		last = range->hi = range->lo + width;
		cursor.nranges++;
	}
	demand_same(&cursor, cursor_text_parse(cursor_text_print(&cursor)));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char	   *volatile string = malloc(size + 1);

	memcpy(string, data, size);
	string[size] = '\0';
	if (setjmp(error_jump) == 0)
		check_text(string);
	else
		demand(error_code == ERRCODE_INVALID_PARAMETER_VALUE, "what is no cursor is 22023");
	demand(allocated <= MEMORY_LIMIT(size), "memory is in proportion to the text");
	free_all();
	free(string);

	if (setjmp(error_jump) == 0)
		check_cursor(data, size);
	else
		demand(false, "what is printed can be read");
	free_all();
	return 0;
}
