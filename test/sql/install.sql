-- What CREATE EXTENSION makes: its members, how functions are declared, what
-- PUBLIC may do, the parameters, what pg_dump keeps; and that it cannot be hijacked.

CREATE EXTENSION chatrel;

-- the version is the control file's, and the newest there is
SELECT extversion = default_version AS control, extversion = (SELECT max(version) FROM pg_available_extension_versions WHERE name = 'chatrel') AS newest,
	extrelocatable AS relocatable
	FROM pg_extension JOIN pg_available_extensions ON extname = name WHERE extname = 'chatrel';

-- members, but for the types that come with tables and types
SELECT type, identity
	FROM pg_depend, pg_identify_object(classid, objid, objsubid)
	WHERE refclassid = 'pg_extension'::regclass AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'chatrel')
		AND deptype = 'e' AND NOT (type = 'type' AND identity NOT IN ('chatrel.chat_group', 'chatrel.chat_message', 'chatrel.chat_user'))
	ORDER BY type COLLATE "C", identity COLLATE "C";

-- nothing in the schema is not a member, or a part of one
SELECT oid::regclass FROM pg_class c
	WHERE relnamespace = 'chatrel'::regnamespace AND relkind NOT IN ('i', 'S', 'c')
		AND NOT EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_class'::regclass AND objid = c.oid AND deptype = 'e');

-- functions
SELECT proname AS function, pg_get_function_arguments(oid) AS arguments, pg_get_function_result(oid) AS result
	FROM pg_proc WHERE pronamespace = 'chatrel'::regnamespace ORDER BY 1;
SELECT proname AS function, provolatile AS volatile, proparallel AS parallel, proisstrict AS strict,
	prosecdef AS definer, proleakproof AS leakproof, procost AS cost, prorows AS rows, lanname AS language
	FROM pg_proc JOIN pg_language l ON l.oid = prolang WHERE pronamespace = 'chatrel'::regnamespace ORDER BY 1;

-- what PUBLIC may do: nothing in the schema, and nothing with it but to read and to call
SELECT has_schema_privilege('public', 'chatrel', 'USAGE') AS usage, has_schema_privilege('public', 'chatrel', 'CREATE') AS "create";
SELECT proname AS function, has_function_privilege('public', oid, 'EXECUTE') AS execute
	FROM pg_proc WHERE pronamespace = 'chatrel'::regnamespace ORDER BY 2, 1;
SELECT relname, string_agg(p, ', ') AS public
	FROM pg_class LEFT JOIN unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER']) AS p
		ON has_table_privilege('public', pg_class.oid, p)
	WHERE relnamespace = 'chatrel'::regnamespace AND relkind IN ('r', 'v') GROUP BY 1 ORDER BY 1;
SELECT relname, string_agg(p, ', ') AS public
	FROM pg_class LEFT JOIN unnest(ARRAY['USAGE', 'SELECT', 'UPDATE']) AS p
		ON has_sequence_privilege('public', pg_class.oid, p)
	WHERE relnamespace = 'chatrel'::regnamespace AND relkind = 'S' GROUP BY 1 ORDER BY 1;
SELECT relname FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid
	WHERE relnamespace = 'chatrel'::regnamespace AND attacl IS NOT NULL;

-- row level security
SELECT relname, relrowsecurity AS enabled, relforcerowsecurity AS forced
	FROM pg_class WHERE relnamespace = 'chatrel'::regnamespace AND relkind = 'r' ORDER BY 1;
SELECT tablename, policyname, permissive, roles, cmd, qual, with_check FROM pg_policies WHERE schemaname = 'chatrel' ORDER BY 1, 2;
SELECT relname, reloptions FROM pg_class WHERE relnamespace = 'chatrel'::regnamespace AND relkind = 'v';

-- all have a comment: what is a member, every column, every policy, every index that has no constraint
SELECT type, identity AS "has no comment"
	FROM pg_depend, pg_identify_object(classid, objid, objsubid)
	WHERE refclassid = 'pg_extension'::regclass AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'chatrel')
		AND deptype = 'e' AND obj_description(objid, classid::regclass::text) IS NULL
		AND type NOT IN ('sequence') AND NOT (type = 'type' AND identity NOT IN ('chatrel.chat_group', 'chatrel.chat_message', 'chatrel.chat_user'))
	ORDER BY 1, 2;
SELECT attrelid::regclass, attname AS "has no comment" FROM pg_attribute JOIN pg_class c ON c.oid = attrelid
	WHERE relnamespace = 'chatrel'::regnamespace AND relkind IN ('r', 'v') AND attnum > 0 AND NOT attisdropped AND col_description(attrelid, attnum) IS NULL;
SELECT polrelid::regclass, polname AS "has no comment" FROM pg_policy JOIN pg_class c ON c.oid = polrelid
	WHERE relnamespace = 'chatrel'::regnamespace AND obj_description(pg_policy.oid, 'pg_policy') IS NULL;
SELECT indexrelid::regclass AS "has no comment" FROM pg_index JOIN pg_class c ON c.oid = indexrelid
	WHERE relnamespace = 'chatrel'::regnamespace AND obj_description(indexrelid, 'pg_class') IS NULL
		AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid);
SELECT obj_description('chatrel'::regnamespace, 'pg_namespace') IS NOT NULL AS schema_comment;

-- parameters
SELECT name, setting, unit, context, vartype, min_val, max_val, boot_val, short_desc
	FROM pg_settings WHERE name LIKE 'chatrel%' ORDER BY name;
SET chatrel.unknown = 1;

-- what pg_dump keeps: every table and every sequence, all of it
SELECT c.oid::regclass AS relation, extcondition[i] AS condition
	FROM pg_extension, generate_subscripts(extconfig, 1) i JOIN pg_class c ON true
	WHERE extname = 'chatrel' AND c.oid = extconfig[i] ORDER BY c.oid::regclass::text COLLATE "C";
SELECT c.oid::regclass AS "is lost" FROM pg_class c, pg_extension
	WHERE relnamespace = 'chatrel'::regnamespace AND relkind IN ('r', 'S') AND extname = 'chatrel' AND NOT c.oid = ANY (extconfig)
	ORDER BY c.oid::regclass::text COLLATE "C";

-- it is where it is
ALTER EXTENSION chatrel SET SCHEMA public;
DROP TABLE chatrel.groups;
DROP FUNCTION chatrel.me(integer, bigint);
DROP EXTENSION chatrel;

---------------------------------------------------------------------------
-- not hijackable
---------------------------------------------------------------------------

-- by who has made the schema before
CREATE ROLE regress_chatrel_eve;
CREATE SCHEMA chatrel AUTHORIZATION regress_chatrel_eve;
\set SHOW_CONTEXT never
CREATE EXTENSION chatrel;
\set SHOW_CONTEXT errors
CREATE EXTENSION chatrel SCHEMA chatrel;
DROP SCHEMA chatrel;
CREATE EXTENSION chatrel SCHEMA public;

-- by names that stand before PostgreSQL's own
CREATE SCHEMA regress_chatrel_eve AUTHORIZATION regress_chatrel_eve;
SET ROLE regress_chatrel_eve;
CREATE FUNCTION regress_chatrel_eve.bad() RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE 'hijacked'; END $$;
CREATE DOMAIN regress_chatrel_eve.text AS pg_catalog.text CHECK (regress_chatrel_eve.bad());
CREATE DOMAIN regress_chatrel_eve.name AS pg_catalog.name CHECK (regress_chatrel_eve.bad());
CREATE DOMAIN regress_chatrel_eve.uuid AS pg_catalog.uuid CHECK (regress_chatrel_eve.bad());
CREATE TYPE regress_chatrel_eve.jsonb AS (a int);
CREATE FUNCTION regress_chatrel_eve.now() RETURNS timestamptz LANGUAGE sql AS 'SELECT regress_chatrel_eve.bad(); SELECT clock_timestamp()';
CREATE FUNCTION regress_chatrel_eve.gen_random_uuid() RETURNS pg_catalog.uuid LANGUAGE sql AS 'SELECT regress_chatrel_eve.bad(); SELECT NULL::pg_catalog.uuid';
CREATE FUNCTION regress_chatrel_eve.pg_extension_config_dump(regclass, pg_catalog.text) RETURNS void LANGUAGE sql AS 'SELECT regress_chatrel_eve.bad()';
CREATE FUNCTION regress_chatrel_eve.ne(pg_catalog.text, pg_catalog.text) RETURNS boolean LANGUAGE sql AS 'SELECT regress_chatrel_eve.bad()';
CREATE OPERATOR regress_chatrel_eve.<> (LEFTARG = pg_catalog.text, RIGHTARG = pg_catalog.text, FUNCTION = regress_chatrel_eve.ne);
CREATE FUNCTION regress_chatrel_eve.eq(bigint, bigint) RETURNS boolean LANGUAGE sql AS 'SELECT regress_chatrel_eve.bad()';
CREATE OPERATOR regress_chatrel_eve.= (LEFTARG = bigint, RIGHTARG = bigint, FUNCTION = regress_chatrel_eve.eq);
CREATE TYPE regress_chatrel_eve.fake AS ENUM ('a');
CREATE CAST (regress_chatrel_eve.fake AS bigint) WITH INOUT AS IMPLICIT;
RESET ROLE;
SET search_path = regress_chatrel_eve, pg_catalog, public;
CREATE EXTENSION chatrel;
SELECT a.attrelid::regclass, a.attname, a.atttypid::regtype FROM pg_attribute a JOIN pg_class c ON c.oid = attrelid JOIN pg_type t ON t.oid = atttypid
	WHERE c.relnamespace = 'chatrel'::regnamespace AND t.typnamespace <> 'pg_catalog'::regnamespace AND c.relkind IN ('r', 'v', 'c');
SELECT pg_catalog.count(*) AS "depend on hers" FROM pg_depend d
	WHERE (refclassid, refobjid) IN (SELECT 'pg_proc'::regclass, oid FROM pg_proc WHERE pronamespace = 'regress_chatrel_eve'::regnamespace
		UNION ALL SELECT 'pg_operator'::regclass, oid FROM pg_operator WHERE oprnamespace = 'regress_chatrel_eve'::regnamespace
		UNION ALL SELECT 'pg_type'::regclass, oid FROM pg_type WHERE typnamespace = 'regress_chatrel_eve'::regnamespace)
	AND classid = 'pg_attrdef'::regclass;
RESET search_path;
SELECT pg_get_expr(adbin, adrelid) AS default FROM pg_attrdef JOIN pg_class c ON c.oid = adrelid
	WHERE relnamespace = 'chatrel'::regnamespace ORDER BY 1;
DROP EXTENSION chatrel;
SET client_min_messages = warning;
DROP SCHEMA regress_chatrel_eve CASCADE;
DROP ROLE regress_chatrel_eve;
