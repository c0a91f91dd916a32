/*
 * search.h
 *	  Searching messages.
 */
#ifndef CHATREL_SEARCH_H
#define CHATREL_SEARCH_H

/*
 * So much of a message is searched, at its beginning: the words of any longer one
 * might be too many for a tsvector, which has an end at 1 MB.
 */
#define SEARCHED_CHARACTERS 65536

#endif							/* CHATREL_SEARCH_H */
