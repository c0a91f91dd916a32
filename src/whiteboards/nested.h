/*
 * nested.h
 *	  A parent and all of its children, read and changed as one document.
 *
 * An association describes who the children of a parent are; everything else
 * follows from the description.  Both tables are in the schema chatrel, have an
 * id, created_at and updated_at, and begin their keys with the same column, the
 * shard key; the parent has a version too.
 *
 * "params" are the children that a caller wants: {"<name>": [child, ...]}, with
 * the version that the caller has seen, if it likes.
 */
#ifndef CHATREL_NESTED_H
#define CHATREL_NESTED_H

#include "utils/jsonb.h"
#include "utils/timestamp.h"

#include "core/plans.h"

/* The arguments of a statement are shard key, parent, ids, and the fields. */
#define NESTED_MAX_FIELDS	(PLAN_MAX_ARGS - 3)

typedef enum NestedCardinality
{
	NESTED_HAS_MANY,			/* an array of children */
	NESTED_HAS_ONE				/* a child, or null */
} NestedCardinality;

/* What becomes of a stored child that params do not name. */
typedef enum OnReplace
{
	ON_REPLACE_RAISE,			/* an error */
	ON_REPLACE_MARK_AS_INVALID, /* an answer that says so */
	ON_REPLACE_NILIFY,			/* it loses its parent */
	ON_REPLACE_DELETE,			/* it is deleted */
	ON_REPLACE_UPDATE			/* has_one: it becomes the one in params */
} OnReplace;

/* A column of the child, of type text. */
typedef struct NestedField
{
	const char *name;
	bool		required;
	int			max_length;		/* in characters */
} NestedField;

typedef struct NestedAssociation
{
	const char *name;			/* the key of the children in documents */
	const char *parent;			/* tables */
	const char *child;
	const char *foreign_key;	/* columns */
	const char *shard_key;
	NestedCardinality cardinality;
	int			nfields;
	NestedField fields[NESTED_MAX_FIELDS];

	/* made from the above when first used */
	SqlPlan		lock;
	SqlPlan		read;
	SqlPlan		insert;
	SqlPlan		update;
	SqlPlan		nilify;
	SqlPlan		delete;
	SqlPlan		touch;
} NestedAssociation;

typedef struct NestedParent
{
	int64		shard;
	int64		id;
	int64		version;
	TimestampTz created_at;
	TimestampTz updated_at;
} NestedParent;

typedef struct NestedChild
{
	bool		has_id;			/* false: params want a new one */
	int64		id;
	text	   *values[NESTED_MAX_FIELDS];	/* NULL is null */
	TimestampTz created_at;
	TimestampTz updated_at;
	struct NestedChild *match;	/* the same child on the other side */
} NestedChild;

typedef struct NestedChildren
{
	int			n;
	NestedChild *rows;
} NestedChildren;

typedef struct NestedFault
{
	char	   *path;
	char	   *problem;
} NestedFault;

/* An answer names no more faults than this; looking for more ends there. */
#define NESTED_MAX_FAULTS	100

typedef struct NestedParams
{
	const NestedAssociation *association;
	OnReplace	on_replace;
	bool		has_version;
	int64		version;
	NestedChildren children;
	NestedChild **named;		/* those that have an id, in its order */
	int			nnamed;
	bool		ids_known;		/* false: a fault hides what they name */
	NestedFault faults[NESTED_MAX_FAULTS];
	int			nfaults;
} NestedParams;

typedef struct NestedIds
{
	int			n;
	int64	   *ids;
} NestedIds;

/* What was done; the children are those there are now. */
typedef struct NestedChange
{
	NestedIds	inserted;
	NestedIds	updated;
	NestedIds	removed;		/* deleted, or nilified */
	NestedChildren children;
} NestedChange;

/* nested_params.c: before owner_begin() */
extern OnReplace nested_on_replace(const NestedAssociation *association, text *name);
extern NestedParams *nested_parse(const NestedAssociation *association, int64 parent_id,
								  Jsonb *document, OnReplace on_replace);

/* Where a fault is that is not in a child. */
#define NESTED_PARENT	(-1)

extern void nested_fault(NestedParams *params, int sqlstate, int position, const char *field,
						 const char *problem, const char *hint);
extern bool nested_faults_full(const NestedParams *params);

/* nested_plans.c, nested.c: between owner_begin() and owner_end() */
extern void nested_prepare(NestedAssociation *association);
extern bool nested_lock(NestedAssociation *association, NestedParent *parent);
extern void nested_read(NestedAssociation *association, const NestedParent *parent,
						PlanAccess access, NestedChildren *children);
extern bool nested_change(NestedAssociation *association, NestedParent *parent,
						  NestedParams *params, NestedChange *change);

/* nested_document.c */
extern Datum nested_errors(const NestedParams *params);
extern Datum nested_document(const NestedAssociation *association, const NestedParent *parent,
							 const NestedChildren *children);

#endif							/* CHATREL_NESTED_H */
