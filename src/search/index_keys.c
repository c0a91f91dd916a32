/*
 * index_keys.c
 *	  What the index for searching has of a message.
 *
 * Words used here
 *	  word	a lexeme, which the text search configuration makes of what is written
 *	  key	a word of a group: the id of the group, 8 bytes with the highest first,
 *			and then the word
 *
 * The index is an ordinary one of kind gin, on an array of the keys.  As each key
 * is of one group, a search visits nothing of others' groups: what it takes, in
 * time and in pages, tells nothing of what is said there, and does not grow with
 * it.  The keys are bytea and not text, so that they are compared byte by byte: an
 * index of texts may be wrong after an update of the operating system's collations.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "mb/pg_wchar.h"
#include "port/pg_bswap.h"
#include "tsearch/ts_utils.h"
#include "utils/array.h"
#include "utils/guc.h"

#include "core/check.h"
#include "core/compat.h"
#include "search/language.h"
#include "search/search.h"

/* What to_tsvector() begins with, before it makes room for more */
#define BYTES_PER_WORD	6

PG_FUNCTION_INFO_V1(chatrel_message_keys);
PG_FUNCTION_INFO_V1(chatrel_query_keys);

/*
 * Full text search raises a notice of each word that is too long, and of a query that
 * has none.  Those who send have not asked for an index; and a search must not tell of
 * messages that it only comes upon, which may be those of others' groups.
 */
int
hush_notices(void)
{
	int			nest_level = NewGUCNestLevel();

	if (client_min_messages < WARNING)
		(void) set_config_option("client_min_messages", "warning", PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_SAVE, true, 0, false);
	return nest_level;
}

/* There is a notice only of a text that is longer than a word may be. */
static void
parse_quietly(Oid language, ParsedText *parsed, char *text, int bytes)
{
	int			nest_level = bytes > MAXSTRLEN ? hush_notices() : 0;

	parsetext(language, parsed, text, bytes);
	if (nest_level > 0)
		AtEOXact_GUC(true, nest_level);
}

static Datum
make_key(int64 group_id, const char *word, int bytes)
{
	uint64		prefix = pg_hton64((uint64) group_id);
	bytea	   *key = palloc(VARHDRSZ + sizeof(prefix) + bytes);

	SET_VARSIZE(key, VARHDRSZ + sizeof(prefix) + bytes);
	memcpy(VARDATA(key), &prefix, sizeof(prefix));
	memcpy(VARDATA(key) + sizeof(prefix), word, bytes);
	return PointerGetDatum(key);
}

static Datum
array_of_keys(Datum *keys, int count)
{
	return PointerGetDatum(construct_array(keys, count, BYTEAOID, -1, false, TYPALIGN_INT));
}

/* The language is asked for once in a statement, which holds a lock that keeps it. */
static Oid
language_of_statement(FunctionCallInfo fcinfo)
{
	Oid		   *language = fcinfo->flinfo->fn_extra;

	if (language == NULL)
	{
		language = MemoryContextAlloc(fcinfo->flinfo->fn_mcxt, sizeof(Oid));
		*language = search_language();
		fcinfo->flinfo->fn_extra = language;
	}
	return *language;
}

/* The keys of a message, in any order, and some of them more than once: the index sorts them. */
Datum
chatrel_message_keys(PG_FUNCTION_ARGS)
{
	int64		group_id = PG_GETARG_INT64(0);
	text	   *message = PG_GETARG_TEXT_PP(1);
	int			bytes = pg_mbcharcliplen(VARDATA_ANY(message), VARSIZE_ANY_EXHDR(message),
										 SEARCHED_CHARACTERS);
	ParsedText	parsed = {.lenwords = Max(bytes / BYTES_PER_WORD, 2)};
	Datum	   *keys;

	parsed.words = palloc_array(ParsedWord, parsed.lenwords);
	parse_quietly(language_of_statement(fcinfo), &parsed, VARDATA_ANY(message), bytes);
	keys = palloc_array(Datum, parsed.curwords);
	for (int i = 0; i < parsed.curwords; i++)
		keys[i] = make_key(group_id, parsed.words[i].word, parsed.words[i].len);
	PG_RETURN_DATUM(array_of_keys(keys, parsed.curwords));
}

/* The keys that the words of a query have in a group. */
Datum
chatrel_query_keys(PG_FUNCTION_ARGS)
{
	int64		group_id = PG_GETARG_INT64(0);
	ArrayType  *array = PG_GETARG_ARRAYTYPE_P(1);
	Datum	   *words;
	int			count;
	Datum	   *keys;

	check_no_nulls(array, "words");
	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT,
					  &words, NULL, &count);
	keys = palloc_array(Datum, count);
	for (int i = 0; i < count; i++)
	{
		text	   *word = DatumGetTextPP(words[i]);

		keys[i] = make_key(group_id, VARDATA_ANY(word), VARSIZE_ANY_EXHDR(word));
	}
	PG_RETURN_DATUM(array_of_keys(keys, count));
}
