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
			 errhint("Pass the cursor of an earlier answer as it was, 'now', or null for all messages.")));
}

/* A number in hexadecimal digits, and the character after it. */
static uint64
parse_number(const char **text, char end)
{
	uint64		value = 0;
	const char *p = *text;

	for (; isxdigit((unsigned char) *p); p++)
	{
		if (p - *text == 16)
			error_cursor();
		value = (value << 4) | (isdigit((unsigned char) *p) ? *p - '0' : (*p | 0x20) - 'a' + 10);
	}
	if (p == *text || *p != end)
		error_cursor();
	*text = p + 1;
	return value;
}

static int64
parse_id(const char **text, char end)
{
	uint64		value = parse_number(text, end);

	if (value > (uint64) PG_INT64_MAX)
		error_cursor();
	return (int64) value;
}

static uint32
parse_uint32(const char **text, char end)
{
	uint64		value = parse_number(text, end);

	if (value > PG_UINT32_MAX)
		error_cursor();
	return (uint32) value;
}

static void
parse_ranges(Cursor *cursor, const char *text)
{
	uint64		last = 0;

	cursor->nranges = 0;
	for (const char *p = text; *p != '\0'; p++)
		cursor->nranges += *p == ';';
	if (cursor->nranges > MAX_RANGES)
		error_cursor();

	cursor->ranges = palloc_array(CursorRange, Max(cursor->nranges, 1));
	for (int i = 0; i < cursor->nranges; i++)
	{
		CursorRange *range = &cursor->ranges[i];

		range->lo = parse_number(&text, '-');
		range->hi = parse_number(&text, ':');
		range->seen = parse_id(&text, ';');
		if (range->lo < last || range->hi <= range->lo)
			error_cursor();
		last = range->hi;
	}
	if (*text != '\0')
		error_cursor();
}

Cursor *
cursor_text_parse(const char *text)
{
	Cursor	   *cursor = (Cursor *) palloc0(sizeof(Cursor));

	if (strncmp(text, "2.", 2) != 0)
		error_cursor();
	text += 2;
	cursor->origin.system = parse_number(&text, '.');
	cursor->origin.timeline = parse_uint32(&text, '.');
	cursor->origin.position = parse_number(&text, '.');
	cursor->origin.schema = parse_uint32(&text, '.');
	cursor->origin.epoch.id = parse_id(&text, '.');
	cursor->origin.epoch.started_at = parse_id(&text, '.');
	cursor->origin.epoch.database = parse_uint32(&text, '.');
	cursor->user_id = parse_id(&text, '.');
	cursor->group_id = parse_id(&text, '.');
	cursor->high = parse_id(&text, '.');
	cursor->anchor.id = parse_id(&text, '.');
	cursor->anchor.xid = parse_number(&text, '.');
	parse_ranges(cursor, text);
	return cursor;
}

char *
cursor_text_print(const Cursor *cursor)
{
	const CursorOrigin *origin = &cursor->origin;
	StringInfoData text;

	initStringInfo(&text);
	appendStringInfo(&text, "2.%llx.%x.%llx.%x.%llx.%llx.%x.",
					 (unsigned long long) origin->system, origin->timeline,
					 (unsigned long long) origin->position, origin->schema,
					 (unsigned long long) origin->epoch.id,
					 (unsigned long long) origin->epoch.started_at, origin->epoch.database);
	appendStringInfo(&text, "%llx.%llx.%llx.%llx.%llx.",
					 (unsigned long long) cursor->user_id,
					 (unsigned long long) cursor->group_id,
					 (unsigned long long) cursor->high,
					 (unsigned long long) cursor->anchor.id,
					 (unsigned long long) cursor->anchor.xid);
	for (int i = 0; i < cursor->nranges; i++)
		appendStringInfo(&text, "%llx-%llx:%llx;",
						 (unsigned long long) cursor->ranges[i].lo,
						 (unsigned long long) cursor->ranges[i].hi,
						 (unsigned long long) cursor->ranges[i].seen);
	return text.data;
}
