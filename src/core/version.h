/*
 * version.h
 *	  The version of the SQL objects that this library is for.
 */
#ifndef CHATREL_VERSION_H
#define CHATREL_VERSION_H

extern bool version_matches(void);
extern void check_version(void);
extern void version_init(void);

#endif							/* CHATREL_VERSION_H */
