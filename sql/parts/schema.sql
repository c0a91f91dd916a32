/* chatrel: group chat and a follow graph inside PostgreSQL */

-- complain if script is sourced in psql, rather than via CREATE EXTENSION
\echo Use "CREATE EXTENSION chatrel" to load this file. \quit

/*
 * Who may do what.
 *
 * USAGE on the schema is the key to everything: it is granted to nobody here.
 * A role that has it may call every function that is not administrative (those
 * functions enforce membership themselves, with the rights of their owner) and
 * may read the tables under row level security.  No role but the owner may
 * write a table.  Administrative functions are granted by name.
 *
 * Functions are not SECURITY DEFINER: the C code checks the caller's own rights
 * first, and switches to the rights of the function's owner for its fixed SQL
 * texts only, in which every name and every operator is qualified, so that no
 * search_path can change what they mean.
 *
 * A table has its policies and its pg_extension_config_dump() beside it.  What
 * is granted stands in the same part, after the line "-- privileges": make moves
 * all of that to the end of the script, behind the statement that revokes what
 * was granted by default when the objects were created.
 */

/*
 * Ids are GENERATED ALWAYS where something follows from their order: the proof in
 * cursor.c wants every message's id drawn from the sequence after its xid, and
 * members and relationships are listed and paged in the order of their ids, to
 * which nothing refers.  The others only say which row it is: an application that
 * moves its data here keeps them, and link_users() copies those of users.
 */

/*
 * COST is measured, on a warm server with 64 users, each in the same 50 groups and
 * following 35 others, and rounded to 1, 2 or 5 times a power of ten; a unit is
 * taken for 15 ns.  That makes hundreds of a look-up, thousands of some statements,
 * ten thousands of a document, and more where it is of all that a user has.
 * current_user_id() takes 5 to 8 us where it looks for the role's user and 0.1 us
 * where chatrel.user_id is set: the plans of policies must expect the first.  What
 * delete_user(), link_users() and verify_follow_counts() take depends on how much
 * there is: they have a round number.  Trigger functions keep the default, as no
 * plan calls them.  ROWS is a page where there are pages, and about 50 groups or
 * friends of a user.
 */

/*
 * Created here and not named in the control file: this fails where somebody
 * has made a schema of that name before, who would own it and what is in it.
 */
CREATE SCHEMA chatrel;
COMMENT ON SCHEMA chatrel IS 'group chat and a follow graph (extension chatrel)';

-- privileges

/*
 * Nothing but what is granted here.  Who creates the extension may have default
 * privileges, that were meant for other tables: a role that may put a trigger on
 * these has the rights of their owner.
 */
DO $$
DECLARE
	favoured text;
BEGIN
	FOR favoured IN
		SELECT DISTINCT CASE WHEN a.grantee = 0 THEN 'PUBLIC'
				ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(a.grantee)) END
		FROM pg_catalog.pg_default_acl d, pg_catalog.aclexplode(d.defaclacl) a
		WHERE d.defaclrole = current_user::pg_catalog.regrole AND d.defaclnamespace = 0
			AND a.grantee <> d.defaclrole
	LOOP
		EXECUTE 'REVOKE ALL ON SCHEMA chatrel FROM ' || favoured;
		EXECUTE 'REVOKE ALL ON ALL TABLES IN SCHEMA chatrel FROM ' || favoured;
		EXECUTE 'REVOKE ALL ON ALL SEQUENCES IN SCHEMA chatrel FROM ' || favoured;
		EXECUTE 'REVOKE ALL ON ALL FUNCTIONS IN SCHEMA chatrel FROM ' || favoured;
	END LOOP;
END $$;

-- Of use to roles that have USAGE on the schema; administrative ones are revoked below.
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA chatrel TO PUBLIC;
