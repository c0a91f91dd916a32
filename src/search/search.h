/*
 * search.h
 *	  What searching and its index have in common.
 */
#ifndef CHATREL_SEARCH_H
#define CHATREL_SEARCH_H

/*
 * So much of a message is searched, at its beginning: the words of any longer one
 * might be too many for a tsvector, which has an end at 1 MB.
 */
#define SEARCHED_CHARACTERS 65536

/* Until AtEOXact_GUC() with what it returns */
extern int	hush_notices(void);

#endif							/* CHATREL_SEARCH_H */
