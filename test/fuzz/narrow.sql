-- Makes sqlsmith call chatrel's functions. It chooses from all of pg_proc, where they are one in
-- a hundred, never calls what returns a set, and finds pg_proc by the search path: so it is given
-- one of its own, by a schema that comes before pg_catalog.
--
-- In this pg_proc every function of chatrel is there many times, under oids that nobody else has,
-- a function that counts the rows is there for one that returns a set, and of PostgreSQL's own
-- functions those are left that change nothing and that the role may call: what ends backends,
-- reads files or runs texts as queries would only end the test, and what is polymorphic is mostly
-- called wrongly. Of constants sqlsmith knows few besides null; columns it uses gladly, so there are
-- tables with values of each type.
--
-- role is who sqlsmith will be.
\set ON_ERROR_STOP on
SET client_min_messages = warning;
CREATE SCHEMA fuzz;

CREATE FUNCTION fuzz.make_counting(name text, nargs integer, types text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('CREATE FUNCTION fuzz.%I(%s) RETURNS bigint LANGUAGE sql VOLATILE AS %L', name, types,
		format('SELECT count(*) FROM chatrel.%I(%s)', name,
			(SELECT string_agg('$' || n, ', ' ORDER BY n) FROM generate_series(1, nargs) n)));
END $$;
SELECT count(fuzz.make_counting(proname, pronargs, oidvectortypes(proargtypes))) AS made
	FROM pg_catalog.pg_proc WHERE pronamespace = 'chatrel'::regnamespace AND proretset \gset

CREATE TABLE fuzz.ids (id bigint, other_id bigint, few integer);
INSERT INTO fuzz.ids SELECT n, 1 + n * 7 % 40, n FROM generate_series(1, 12) n;
INSERT INTO fuzz.ids VALUES (0, -1, 0), (9223372036854775807, -9223372036854775808, 2147483647), (NULL, NULL, NULL);
CREATE TABLE fuzz.texts (id bigint, word text, role name, document jsonb, on_replace text, yes boolean);
INSERT INTO fuzz.texts VALUES
	(1, 'hello', 'fuzzer', '{"stickers": []}', 'delete', true), (2, '', '', '{"stickers": [{"url": "u", "title": "t"}]}', 'nilify', false),
	(3, 'now', 'nobody', '[]', 'mark_as_invalid', true), (4, repeat('x', 513), 'companion', '{"stickers": {}}', 'raise', false),
	(5, NULL, NULL, NULL, NULL, NULL), (6, E'\x01 ☃', 'backend', 'null', 'update', true);
CREATE TABLE fuzz.times (id bigint, at timestamptz, short interval, kind text, ids bigint[], relation regclass);
INSERT INTO fuzz.times VALUES
	(1, 'now', '0', 'posts', '{1,2,3}', 'public.accounts'), (2, 'infinity', '1 ms', 'name_only', '{}', 'public.people'),
	(3, '-infinity', '-1 s', 'posts', '{NULL,4}', 'public.some_view'), (4, NULL, NULL, NULL, NULL, NULL),
	(5, '294276-12-31', '178000000 years', 'name_only', '{{5,6},{7,8}}', '0');

CREATE MATERIALIZED VIEW fuzz.pg_proc AS
	SELECT (p.oid::bigint + copy * 10000000)::oid AS oid, p.pronamespace, p.proname, p.prorettype, p.proargtypes,
		p.prokind, p.proretset
		FROM pg_catalog.pg_proc p, generate_series(1, 150) copy
		WHERE p.pronamespace IN ('chatrel'::regnamespace, 'fuzz'::regnamespace) AND p.proname <> 'make_counting'
			AND (has_function_privilege(:'role', p.oid, 'EXECUTE') OR copy = 1)
	UNION ALL
	SELECT p.oid, p.pronamespace, p.proname, p.prorettype, p.proargtypes, p.prokind, p.proretset
		FROM pg_catalog.pg_proc p
		WHERE p.pronamespace = 'pg_catalog'::regnamespace AND (p.provolatile <> 'v' OR p.prokind <> 'f')
			AND has_function_privilege(:'role', p.oid, 'EXECUTE') AND p.proname !~ '_to_xml'
			AND NOT EXISTS (SELECT FROM unnest(p.prorettype || p.proargtypes::oid[]) t
				JOIN pg_catalog.pg_type y ON y.oid = t WHERE y.typtype = 'p');
CREATE INDEX ON fuzz.pg_proc (oid);    -- sqlsmith looks up the arguments of one after the other

-- Operators are read from pg_catalog by its name. Those on any range are tried on what is none, and
-- spoil every other query; nothing of chatrel uses them, and the database is thrown away. What sorts
-- and groups by ranges stays.
DELETE FROM pg_catalog.pg_operator o
	WHERE EXISTS (SELECT FROM pg_catalog.pg_type t WHERE t.oid IN (o.oprleft, o.oprright) AND t.typname ~ '^any.*range$')
		AND NOT EXISTS (SELECT FROM pg_catalog.pg_amop a JOIN pg_catalog.pg_am m ON m.oid = a.amopmethod
			WHERE a.amopopr = o.oid AND m.amname IN ('btree', 'hash'));

GRANT USAGE ON SCHEMA fuzz TO PUBLIC;
GRANT SELECT ON ALL TABLES IN SCHEMA fuzz TO PUBLIC;
SELECT format('ALTER DATABASE %I SET search_path = fuzz, pg_catalog, public', current_database()) \gexec
