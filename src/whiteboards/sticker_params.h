/*
 * sticker_params.h
 *	  What a request wants the stickers of a whiteboard to be:
 *	  {"stickers": [{"id", "url", "title"}, ...]}, with the version of the
 *	  whiteboard that the caller has seen, if it likes.
 */
#ifndef CHATREL_STICKER_PARAMS_H
#define CHATREL_STICKER_PARAMS_H

#include "utils/jsonb.h"

#include "whiteboards/whiteboard.h"

/* What becomes of a stored sticker that params do not name. */
typedef enum OnReplace
{
	ON_REPLACE_RAISE,			/* an error */
	ON_REPLACE_MARK_AS_INVALID, /* an answer that says so */
	ON_REPLACE_NILIFY,			/* it loses its whiteboard */
	ON_REPLACE_DELETE			/* it is deleted */
} OnReplace;

typedef struct Fault
{
	char	   *path;
	char	   *problem;
} Fault;

/* An answer names no more faults than this; looking for more ends there. */
#define MAX_FAULTS		100

/* Where a fault is that is not in a sticker. */
#define WHOLE_REQUEST	(-1)

typedef struct StickerParams
{
	OnReplace	on_replace;
	bool		has_version;
	int64		version;
	Stickers	stickers;
	Sticker   **named;			/* those that have an id, in its order */
	int			nnamed;
	bool		ids_known;		/* false: a fault hides what they name */
	Fault		faults[MAX_FAULTS];
	int			nfaults;
} StickerParams;

/* Before owner_begin(). */
extern OnReplace parse_on_replace(text *name);
extern StickerParams *parse_sticker_params(int64 whiteboard_id, Jsonb *document,
										   OnReplace on_replace);

extern void add_fault(StickerParams *params, int sqlstate, int position, const char *field,
					  const char *problem, const char *hint);
extern bool faults_full(const StickerParams *params);

#endif							/* CHATREL_STICKER_PARAMS_H */
