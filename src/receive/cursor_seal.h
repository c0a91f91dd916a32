/*
 * cursor_seal.h
 *	  A cursor that this server has not made is not taken.
 */
#ifndef CHATREL_CURSOR_SEAL_H
#define CHATREL_CURSOR_SEAL_H

extern char *cursor_seal(const char *text);
extern char *cursor_unseal(const char *sealed);
extern bool cursor_seal_is_right(const char *sealed);

#endif							/* CHATREL_CURSOR_SEAL_H */
