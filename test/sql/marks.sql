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

---------------------------------------------------------------------------
-- read marks, and what is unread
---------------------------------------------------------------------------

DELETE FROM chatrel.groups_messages;
CREATE FUNCTION send(texts int, of_group bigint, sender bigint) RETURNS bigint LANGUAGE sql VOLATILE AS $$
	SELECT max((chatrel.send_group_message(of_group, 'm' || i, as_user => sender)).id) FROM generate_series(1, texts) i $$;
SELECT id, unread, unread_mentions FROM chatrel.my_groups();
SELECT chatrel.mark_read(1) AS nothing_there;
-- others' messages, since joining
SELECT send(3, 1, 2) IS NULL AS failed, send(2, 1, 1) IS NULL AS failed, send(4, 2, 1) IS NULL AS failed;
SELECT id, unread, unread_mentions FROM chatrel.my_groups() ORDER BY id;
SELECT id, unread FROM chatrel.my_groups(as_user => 2);
SELECT chatrel.join_group(1, as_user => 3);
SELECT id, unread FROM chatrel.my_groups(as_user => 3);
SELECT send(1, 1, 1) AS last \gset
SELECT id, unread FROM chatrel.my_groups(as_user => 3);
SELECT * FROM chatrel.unread_counts();
-- forward, never back; an id that no message of the group has is a place too
SELECT min(id) AS first FROM chatrel.groups_messages WHERE group_id = 1 \gset
SELECT chatrel.mark_read(1, :first) - :first AS mark, (SELECT unread FROM chatrel.my_groups() WHERE id = 1);
SELECT chatrel.mark_read(1) = :last AS last, (SELECT unread FROM chatrel.my_groups() WHERE id = 1);
SELECT chatrel.mark_read(1, :first) = :last AS last, chatrel.mark_read(1, -1) = :last AS last, chatrel.mark_read(1, 0) = :last AS last;
SELECT chatrel.mark_read(1, 9223372036854775807) = :last AS last, chatrel.mark_read(1, NULL) = :last AS last;
-- before the joining: the mark is where it was said to be, and nothing more is unread
SELECT chatrel.mark_read(1, :first, as_user => 3) = :first AS first, (SELECT unread FROM chatrel.my_groups(3));
SELECT group_id, user_id, message_id = :last AS last FROM chatrel.read_marks ORDER BY user_id;
-- in the same statement and transaction, with savepoints
BEGIN;
SELECT send(2, 1, 2) IS NULL AS failed, (SELECT unread FROM chatrel.my_groups() WHERE id = 1);
SAVEPOINT a;
SELECT chatrel.mark_read(1) > :last AS moved, (SELECT unread FROM chatrel.my_groups() WHERE id = 1);
ROLLBACK TO a;
SELECT unread FROM chatrel.my_groups() WHERE id = 1;
COMMIT;
-- deleted ones do not count
SELECT id AS deleted FROM chatrel.group_messages(1, message_limit => 1) \gset
SELECT chatrel.delete_message(1, :deleted, as_user => 2), (SELECT unread FROM chatrel.my_groups() WHERE id = 1);
-- mentions, of messages that count
SELECT chatrel.mark_read(1) IS NULL AS failed;
SELECT (chatrel.send_group_message(1, '@ann', mentions => ARRAY[1, 3], as_user => 2)).id AS mention \gset
SELECT (chatrel.send_group_message(1, '@ann', mentions => ARRAY[1], as_user => 2)).id AS mention2 \gset
SELECT unread, unread_mentions FROM chatrel.my_groups() WHERE id = 1;
SELECT * FROM chatrel.unread_counts();
SELECT chatrel.delete_message(1, :mention2, as_user => 2);
SELECT unread, unread_mentions FROM chatrel.my_groups() WHERE id = 1;
-- the mention is recorded after the message, and read with it
SELECT chatrel.mark_read(1, :mention) = :mention AS mark;
SELECT unread, unread_mentions FROM chatrel.my_groups() WHERE id = 1;
SELECT unread, unread_mentions FROM chatrel.my_groups(3);
-- up to the cap and one more, and among so many of the newest messages
SET chatrel.unread_cap = 3;
SELECT send(3, 1, 2) IS NULL AS failed, (SELECT unread FROM chatrel.my_groups() WHERE id = 1);
SELECT send(1, 1, 2) IS NULL AS failed, (SELECT unread FROM chatrel.my_groups() WHERE id = 1);
SELECT send(5, 1, 2) IS NULL AS failed, (SELECT unread FROM chatrel.my_groups() WHERE id = 1);
SELECT * FROM chatrel.unread_counts();
SELECT send(37, 1, 1) IS NULL AS failed, (SELECT unread FROM chatrel.my_groups() WHERE id = 1);
SELECT count(chatrel.send_group_message(1, '@ann', mentions => ARRAY[1], as_user => 2)) FROM generate_series(1, 5);
SELECT unread, unread_mentions FROM chatrel.my_groups() WHERE id = 1;
SET chatrel.unread_cap = 0;
SET chatrel.unread_cap = 10001;
RESET chatrel.unread_cap;
-- the mark goes with the membership
SELECT chatrel.leave_group(1, as_user => 3);
SELECT count(*) FROM chatrel.read_marks WHERE user_id = 3;
SELECT chatrel.join_group(1, as_user => 3), (SELECT unread FROM chatrel.my_groups(3));
-- members only
SELECT fails(s) FROM unnest(ARRAY['SELECT chatrel.mark_read(NULL)', 'SELECT chatrel.mark_read(99)', 'SELECT chatrel.mark_read(2, as_user => 2)',
	'SELECT chatrel.mark_read(1, as_user => 99)', 'SELECT chatrel.unread_counts(99)', 'SELECT chatrel.my_groups(99)']) AS s;
SELECT c.* FROM chatrel.create_user('dan') AS u, LATERAL chatrel.unread_counts(u.id) AS c;
CREATE TRIGGER suppress BEFORE INSERT OR UPDATE ON chatrel.read_marks FOR EACH ROW EXECUTE FUNCTION suppress();
SELECT fails('SELECT chatrel.mark_read(1)'), fails('SELECT chatrel.mark_read(1, as_user => 3)');
DROP TRIGGER suppress ON chatrel.read_marks;

---------------------------------------------------------------------------
-- pins
---------------------------------------------------------------------------

SELECT chatrel.set_role(1, 2, 'moderator');
SELECT chatrel.pin_message(1, :mention) AS pinned, chatrel.pin_message(1, :mention, as_user => 2) AS again;
SELECT chatrel.pin_message(1, :last, as_user => 2) AS pinned;
SELECT id - :last AS id, group_id, sender_id, message, pinned_at IS NULL AS never, pinned_by FROM chatrel.pinned_messages(1);
SELECT chatrel.unpin_message(1, :mention, as_user => 2) AS unpinned, chatrel.unpin_message(1, :mention) AS again;
SELECT kind, group_id, recipient_id, actor_id, user_id, message_id - :last AS message, detail FROM chatrel.events WHERE kind LIKE 'message_%pinned' ORDER BY id;
-- a deleted message is pinned no more
SELECT chatrel.delete_message(1, :last);
SELECT * FROM chatrel.pinned_messages(1);
SELECT count(*) FROM chatrel.pinned_messages;
SELECT fails(format('SELECT chatrel.pin_message(1, %s)', :last)), fails(format('SELECT chatrel.unpin_message(1, %s)', :last));
-- at most 100 of a group
SELECT count(*) FROM (SELECT id FROM chatrel.group_messages(1, message_limit => 1000) WHERE deleted_at IS NULL) m, chatrel.pin_message(1, m.id) AS pinned WHERE pinned;
SELECT count(chatrel.pin_message(1, (chatrel.send_group_message(1, 'm')).id)) FROM generate_series(1, 100 - (SELECT count(*)::int FROM chatrel.pinned_messages(1)));
SELECT count(*), bool_and(pinned_by = 1) AS by_ann FROM chatrel.pinned_messages(1);
SELECT fails('SELECT chatrel.pin_message(1, (chatrel.send_group_message(1, ''m'')).id)');
SELECT min(id) AS pinned FROM chatrel.pinned_messages(1) \gset
SELECT chatrel.pin_message(1, :pinned) AS again, chatrel.unpin_message(1, :pinned) AS unpinned, chatrel.pin_message(1, :pinned) AS pinned;
SELECT id = :pinned AS newest FROM chatrel.pinned_messages(1) LIMIT 1;
-- members only
SELECT fails(s) FROM unnest(ARRAY['SELECT chatrel.pin_message(NULL, 1)', 'SELECT chatrel.pin_message(1, NULL)', 'SELECT chatrel.pin_message(1, 99999)',
	'SELECT chatrel.pin_message(2, 1, as_user => 2)', 'SELECT chatrel.unpin_message(2, 1, as_user => 2)', 'SELECT chatrel.pin_message(99, 1)',
	'SELECT chatrel.pinned_messages(NULL)', 'SELECT chatrel.pinned_messages(2, as_user => 2)', 'SELECT chatrel.pinned_messages(99)']) AS s;
CREATE TRIGGER suppress BEFORE DELETE ON chatrel.pinned_messages FOR EACH ROW EXECUTE FUNCTION suppress();
SELECT fails(format('SELECT chatrel.unpin_message(1, %s)', :pinned));
DROP TRIGGER suppress ON chatrel.pinned_messages;

DROP EXTENSION chatrel;
DROP FUNCTION fails, suppress, send;
