/*
 * cursor_text.c
 *	  The text that a client keeps a cursor as.
 *
 *	  2.SYSTEM.TIMELINE.POSITION.SCHEMA.EPOCH.STARTED.DATABASE.USER.GROUP.HIGH.
 *	  ANCHOR.XID.LO-HI:SEEN;LO-HI:SEEN;...
 *
 * and then the seal that cursor_seal.c adds.  Numbers are hexadecimal, and the
 * first is the version of this form.  Clients hand in any bytes: what is read
 * here is within its bounds and in order, or an error.  Nothing of the server but
 * memory and errors is used, so that test/fuzz can compile this file by itself.
 */
#include "postgres.h"

#include "lib/stringinfo.h"

#include "receive/cursor_text.h"

/* More transactions than this are never in progress; a text that says so is none of ours. */
#define MAX_RANGES	100000

void
error_cursor(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid cursor"),
			 errhint("Pass the cursor of an earlier answer as it was, 'now', or null for all events.")));
}

/* A number in hexadecimal digits, and the character after it. */
static uint64
parse_number(const char **string, char end)
{
	uint64		value = 0;
	const char *p = *string;

	for (; isxdigit((unsigned char) *p); p++)
	{
		if (p - *string == 16)
			error_cursor();
		value = (value << 4) | (isdigit((unsigned char) *p) ? *p - '0' : (*p | 0x20) - 'a' + 10);
	}
	if (p == *string || *p != end)
		error_cursor();
	*string = p + 1;
	return value;
}

static int64
parse_id(const char **string, char end)
{
	uint64		value = parse_number(string, end);

	if (value > (uint64) PG_INT64_MAX)
		error_cursor();
	return (int64) value;
}

static uint32
parse_uint32(const char **string, char end)
{
	uint64		value = parse_number(string, end);

	if (value > PG_UINT32_MAX)
		error_cursor();
	return (uint32) value;
}

static void
parse_ranges(Cursor *cursor, const char *string)
{
	uint64		last = 0;

	cursor->nranges = 0;
	for (const char *p = string; *p != '\0'; p++)
		cursor->nranges += *p == ';';
	if (cursor->nranges > MAX_RANGES)
		error_cursor();

	cursor->ranges = palloc_array(CursorRange, Max(cursor->nranges, 1));
	for (int i = 0; i < cursor->nranges; i++)
	{
		CursorRange *range = &cursor->ranges[i];

		range->lo = parse_number(&string, '-');
		range->hi = parse_number(&string, ':');
		range->seen = parse_id(&string, ';');
		if (range->lo < last || range->hi <= range->lo)
			error_cursor();
		last = range->hi;
	}
	if (*string != '\0')
		error_cursor();
}

Cursor *
cursor_text_parse(const char *string)
{
	Cursor	   *cursor = (Cursor *) palloc0(sizeof(Cursor));

	if (strncmp(string, "2.", 2) != 0)
		error_cursor();
	string += 2;
	cursor->origin.system = parse_number(&string, '.');
	cursor->origin.timeline = parse_uint32(&string, '.');
	cursor->origin.position = parse_number(&string, '.');
	cursor->origin.schema = parse_uint32(&string, '.');
	cursor->origin.epoch.id = parse_id(&string, '.');
	cursor->origin.epoch.started_at = parse_id(&string, '.');
	cursor->origin.epoch.database = parse_uint32(&string, '.');
	cursor->user_id = parse_id(&string, '.');
	cursor->group_id = parse_id(&string, '.');
	cursor->high = parse_id(&string, '.');
	cursor->anchor.id = parse_id(&string, '.');
	cursor->anchor.xid = parse_number(&string, '.');
	parse_ranges(cursor, string);
	return cursor;
}

char *
cursor_text_print(const Cursor *cursor)
{
	const CursorOrigin *origin = &cursor->origin;
	StringInfoData string;

	initStringInfo(&string);
	appendStringInfo(&string, "2.%llx.%x.%llx.%x.%llx.%llx.%x.",
					 (unsigned long long) origin->system, origin->timeline,
					 (unsigned long long) origin->position, origin->schema,
					 (unsigned long long) origin->epoch.id,
					 (unsigned long long) origin->epoch.started_at, origin->epoch.database);
	appendStringInfo(&string, "%llx.%llx.%llx.%llx.%llx.",
					 (unsigned long long) cursor->user_id,
					 (unsigned long long) cursor->group_id,
					 (unsigned long long) cursor->high,
					 (unsigned long long) cursor->anchor.id,
					 (unsigned long long) cursor->anchor.xid);
	for (int i = 0; i < cursor->nranges; i++)
		appendStringInfo(&string, "%llx-%llx:%llx;",
						 (unsigned long long) cursor->ranges[i].lo,
						 (unsigned long long) cursor->ranges[i].hi,
						 (unsigned long long) cursor->ranges[i].seen);
	return string.data;
}
