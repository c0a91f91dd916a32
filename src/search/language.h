/*
 * language.h
 *	  The text search configuration that messages are indexed with.
 */
#ifndef CHATREL_LANGUAGE_H
#define CHATREL_LANGUAGE_H

extern Oid	search_language(void);
extern Oid	lock_search_language(void);

#endif							/* CHATREL_LANGUAGE_H */
