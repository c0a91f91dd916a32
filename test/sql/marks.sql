-- Reactions, read marks and what is unread, pins.

SET TimeZone = 'UTC';
CREATE EXTENSION chatrel;
SELECT count(chatrel.create_user(name)) FROM unnest(ARRAY['ann', 'bob', 'cyd']) AS name;
SET chatrel.user_id = 1;
SELECT id FROM chatrel.create_group('g', true);
SELECT id FROM chatrel.create_group('h', true);
SELECT chatrel.join_group(1, as_user => 2);

-- what fails, with SQLSTATE and table
CREATE FUNCTION fails(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	of_table text;
	why text;
BEGIN
	EXECUTE statement;
	RETURN 'nothing';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS of_table = TABLE_NAME, why = PG_EXCEPTION_DETAIL;
	RETURN concat_ws(', ', SQLSTATE, SQLERRM, nullif(of_table, ''), nullif(why, ''));
END $$;

SELECT (chatrel.send_group_message(1, 'one')).id AS one \gset
SELECT (chatrel.send_group_message(1, 'two', as_user => 2)).id AS two \gset
SELECT (chatrel.send_group_message(2, 'elsewhere')).id AS elsewhere \gset

---------------------------------------------------------------------------
-- reactions
---------------------------------------------------------------------------

-- the second time it is there, or is not
SELECT chatrel.add_reaction(1, :one, '👍') AS added, chatrel.add_reaction(1, :one, '👍') AS again;
SELECT chatrel.remove_reaction(1, :one, '👍') AS removed, chatrel.remove_reaction(1, :one, '👍') AS again;
SELECT chatrel.remove_reaction(1, :one, 'never') AS never;
SELECT kind, group_id, recipient_id, actor_id, user_id, message_id - :one AS message, detail FROM chatrel.events WHERE kind LIKE 'reaction%' ORDER BY id;
-- what is counted, and what is one's own
SELECT chatrel.add_reaction(1, :one, '👍'), chatrel.add_reaction(1, :one, '👍', as_user => 2), chatrel.add_reaction(1, :one, 'ok', as_user => 2);
SELECT m -> 'reactions' AS reactions, m -> 'my_reactions' AS mine FROM jsonb_array_elements(chatrel.get_group_with_chat_history(1) -> 'messages') AS m;
SELECT m -> 'reactions' AS reactions, m -> 'my_reactions' AS mine FROM jsonb_array_elements(chatrel.get_group_with_chat_history(1, around_id => :one, as_user => 2) -> 'messages') AS m;
SELECT m ? 'reactions' AS reactions, m ? 'my_reactions' AS mine FROM chatrel.get_message(1, :two) AS m;
SELECT m -> 'reactions' AS reactions, m -> 'my_reactions' AS mine FROM chatrel.get_message(1, :one) AS m;
-- a letter in two cases and a space are different texts
SELECT chatrel.add_reaction(1, :two, 'a'), chatrel.add_reaction(1, :two, 'A'), chatrel.add_reaction(1, :two, ' '), chatrel.add_reaction(1, :two, '"\');
SELECT chatrel.get_message(1, :two) -> 'reactions' AS reactions;
-- no more than 50 of them, those that most have given
SELECT count(*) FROM generate_series(1, 60) i, chatrel.add_reaction(1, :two, 'r' || i) AS added WHERE added;
SELECT chatrel.add_reaction(1, :two, 'r60', as_user => 2);
SELECT count(*), max(value::int) FROM jsonb_each_text(chatrel.get_message(1, :two) -> 'reactions');
-- 1 to 64 bytes
SELECT chatrel.add_reaction(1, :one, repeat('x', 64)), chatrel.add_reaction(1, :one, repeat('👍', 16));
SELECT fails(format('SELECT chatrel.add_reaction(1, %s, %L)', :one, r)) FROM unnest(ARRAY[repeat('x', 65), repeat('👍', 17), '', NULL]) AS r;
SELECT fails(format('SELECT chatrel.remove_reaction(1, %s, %L)', :one, r)) FROM unnest(ARRAY[repeat('x', 65), '', NULL]) AS r;
-- of a message of the group, for members
SELECT fails(s) FROM unnest(ARRAY[format('SELECT chatrel.add_reaction(1, %s, %L)', :elsewhere, 'x'),
	'SELECT chatrel.add_reaction(1, 99999, ''x'')', 'SELECT chatrel.remove_reaction(1, 99999, ''x'')',
	format('SELECT chatrel.add_reaction(2, %s, %L, as_user => 2)', :elsewhere, 'x'),
	'SELECT chatrel.add_reaction(99, 1, ''x'')', 'SELECT chatrel.add_reaction(NULL, 1, ''x'')',
	'SELECT chatrel.add_reaction(1, NULL, ''x'')', 'SELECT chatrel.add_reaction(1, 1, ''x'', 99)']) AS s;
-- a deleted message has none, and gets none
SELECT chatrel.delete_message(1, :one);
SELECT m ? 'reactions' AS reactions FROM chatrel.get_message(1, :one) AS m;
SELECT count(*) FROM chatrel.message_reactions WHERE message_id = :one;
SELECT fails(format('SELECT chatrel.add_reaction(1, %s, %L)', :one, 'x'));
-- a trigger that suppresses what is done
CREATE FUNCTION suppress() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER suppress BEFORE INSERT OR DELETE ON chatrel.message_reactions FOR EACH ROW EXECUTE FUNCTION suppress();
SELECT fails(format('SELECT chatrel.add_reaction(1, %s, %L)', :two, 'x'));
SELECT fails(format('SELECT chatrel.remove_reaction(1, %s, %L)', :two, 'a'));
DROP TRIGGER suppress ON chatrel.message_reactions;

DROP EXTENSION chatrel;
DROP FUNCTION fails, suppress;
