/*
 * errors.h
 *	  What an error says to programs, beside its SQLSTATE.
 *
 * They go into an ereport(), as errmsg() does.  What does not exist has the name
 * of the table that it is not in, and what is taken that of the constraint, or
 * unique index, that says so: as PostgreSQL's own errors have them.  What a rule
 * forbids has the column that holds the rule.
 */
#ifndef CHATREL_ERRORS_H
#define CHATREL_ERRORS_H

extern int	err_table(const char *table);
extern int	err_constraint(const char *table, const char *constraint);
extern int	err_column(const char *table, const char *column);

#endif							/* CHATREL_ERRORS_H */
