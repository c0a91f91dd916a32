/* chatrel_search: full text search in the messages of chatrel */

-- complain if script is sourced in psql, rather than via CREATE EXTENSION
\echo Use "CREATE EXTENSION chatrel_search" to load this file. \quit

/*
 * An extension of its own, since its index is paid for by every send.  Its functions
 * are in the library of chatrel and in the schema of chatrel.
 */

/*
 * What src/search/language.c says.  The language is the qualified name of a text
 * search configuration, and no regconfig, which pg_upgrade does not take over.
 */
CREATE TABLE chatrel.search_settings (
	only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
	language text NOT NULL
);
COMMENT ON TABLE chatrel.search_settings IS
	'private: how messages are indexed; one row, or none for the default';
COMMENT ON COLUMN chatrel.search_settings.only_row IS 'true, so that there is only one';
COMMENT ON COLUMN chatrel.search_settings.language IS
	'the text search configuration: pg_catalog.simple by default';
ALTER TABLE chatrel.search_settings ENABLE ROW LEVEL SECURITY;
SELECT pg_catalog.pg_extension_config_dump('chatrel.search_settings', '');

CREATE FUNCTION chatrel.message_keys(group_id bigint, message text) RETURNS bytea[]
	AS 'MODULE_PATHNAME', 'chatrel_message_keys'
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE SECURITY INVOKER COST 1000;
COMMENT ON FUNCTION chatrel.message_keys(bigint, text) IS
	'what the index for searching has of a message: its words, each with the group';

CREATE FUNCTION chatrel.query_keys(group_id bigint, words text[]) RETURNS bytea[]
	AS 'MODULE_PATHNAME', 'chatrel_query_keys'
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE SECURITY INVOKER COST 100;
COMMENT ON FUNCTION chatrel.query_keys(bigint, text[]) IS
	'what the index for searching has of messages of the group with these words';

/*
 * Without a pending list, through which every search would have to go, whoever
 * searches.  ANALYZE would keep the commonest words of all groups, for everybody who
 * may read the statistics.
 */
CREATE INDEX groups_messages_search_idx ON chatrel.groups_messages
	USING gin (chatrel.message_keys(group_id, message)) WITH (fastupdate = off)
	WHERE message IS NOT NULL;
COMMENT ON INDEX chatrel.groups_messages_search_idx IS 'the words of messages, by group';
ALTER INDEX chatrel.groups_messages_search_idx ALTER COLUMN 1 SET STATISTICS 0;
ALTER INDEX chatrel.groups_messages_search_idx DEPENDS ON EXTENSION chatrel_search;

CREATE FUNCTION chatrel.rebuild_search() RETURNS trigger
	AS 'MODULE_PATHNAME', 'chatrel_rebuild_search'
	LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE SECURITY INVOKER;
COMMENT ON FUNCTION chatrel.rebuild_search() IS
	'the trigger of search_settings that rebuilds the index for searching';

-- Whoever writes the row, in restoring a dump or applying changes of another server too.
CREATE TRIGGER rebuild_search AFTER INSERT OR UPDATE OR DELETE ON chatrel.search_settings
	FOR EACH ROW EXECUTE FUNCTION chatrel.rebuild_search();
ALTER TABLE chatrel.search_settings ENABLE ALWAYS TRIGGER rebuild_search;
COMMENT ON TRIGGER rebuild_search ON chatrel.search_settings IS
	'the index is of the language that the row says';

CREATE FUNCTION chatrel.set_search_language(language regconfig) RETURNS void
	AS 'MODULE_PATHNAME', 'chatrel_set_search_language'
	LANGUAGE C VOLATILE CALLED ON NULL INPUT PARALLEL UNSAFE SECURITY INVOKER COST 1000000;
COMMENT ON FUNCTION chatrel.set_search_language(regconfig) IS
	'administrative: rebuilds the index for searching with another text search configuration, or '
	'with the same one after it has changed; those who send or read messages wait meanwhile';

CREATE FUNCTION chatrel.search_messages(query text, group_id bigint DEFAULT NULL,
		before_id bigint DEFAULT NULL, message_limit integer DEFAULT 50,
		as_user bigint DEFAULT NULL) RETURNS SETOF chatrel.chat_message
	AS 'MODULE_PATHNAME', 'chatrel_search_messages'
	LANGUAGE C STABLE CALLED ON NULL INPUT PARALLEL RESTRICTED SECURITY INVOKER COST 50000 ROWS 50;
COMMENT ON FUNCTION chatrel.search_messages(text, bigint, bigint, integer, bigint) IS
	'messages of the user''s groups, or of one of them, that have the words of the query, newest '
	'first: the last, or those before before_id; "a phrase", or and -word as in web searches';

/* As in the script of chatrel: nothing but what is granted here, whatever the default privileges */
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
		EXECUTE 'REVOKE ALL ON chatrel.search_settings FROM ' || favoured;
		EXECUTE 'REVOKE ALL ON FUNCTION chatrel.message_keys, chatrel.query_keys, '
			'chatrel.rebuild_search, chatrel.set_search_language, chatrel.search_messages FROM '
			|| favoured;
	END LOOP;
END $$;

GRANT EXECUTE ON FUNCTION chatrel.search_messages, chatrel.message_keys, chatrel.query_keys
	TO PUBLIC;

-- The trigger's function is for the trigger; and everybody waits while the index is rebuilt.
REVOKE ALL ON FUNCTION chatrel.rebuild_search, chatrel.set_search_language FROM PUBLIC;
