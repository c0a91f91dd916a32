-- At each limit and one past it; in characters, not in bytes.

\set VERBOSITY default
\set SHOW_CONTEXT never
CREATE EXTENSION chatrel;
SET chatrel.user_id = 1;

-- usernames: 256 characters
SELECT id, char_length(username) AS chars, octet_length(username) AS bytes FROM chatrel.create_user(repeat('x', 256));
SELECT chatrel.create_user(repeat('x', 257));
SELECT char_length(username) AS chars, octet_length(username) AS bytes FROM chatrel.create_user(repeat('ü', 256));
SELECT char_length(username) AS chars, octet_length(username) AS bytes FROM chatrel.create_user(repeat('☃', 256));
SELECT char_length(username) AS chars, octet_length(username) AS bytes FROM chatrel.create_user(repeat('👋', 256));
SELECT chatrel.create_user(repeat('ü', 257));
SELECT chatrel.create_user(repeat('👋', 257));

-- names of groups: 256 characters
SELECT char_length(name) AS chars FROM chatrel.create_group(repeat('x', 256), true);
SELECT chatrel.create_group(repeat('x', 257));
SELECT char_length(name) AS chars, octet_length(name) AS bytes FROM chatrel.create_group(repeat('👋', 256));
SELECT chatrel.create_group(repeat('👋', 257));
-- one character, and blanks count
SELECT name FROM chatrel.create_group('x');
SELECT char_length(name) AS chars FROM chatrel.create_group(repeat(' ', 256));
SELECT chatrel.create_group(repeat(' ', 257));

-- messages: 512 characters
SELECT char_length(message) AS chars FROM chatrel.send_group_message(1, repeat('x', 512));
SELECT chatrel.send_group_message(1, repeat('x', 513));
SELECT char_length(message) AS chars, octet_length(message) AS bytes FROM chatrel.send_group_message(1, repeat('ü', 512));
SELECT chatrel.send_group_message(1, repeat('ü', 513));
SELECT char_length(message) AS chars, octet_length(message) AS bytes FROM chatrel.send_group_message(1, repeat('👋', 512));
SELECT chatrel.send_group_message(1, repeat('👋', 513));
SELECT char_length(message) AS chars FROM chatrel.send_group_message(1, 'x');
-- a letter with a combining accent is two characters
SELECT chatrel.send_group_message(1, repeat(U&'e\0301', 257));
-- much too long, and compressed
SELECT chatrel.send_group_message(1, repeat('x', 10000000));

-- other limits
SET chatrel.max_message_length = 3;
SELECT message FROM chatrel.send_group_message(1, 'ü☃👋');
SELECT message FROM chatrel.send_group_message(1, 'xxxx');
SET chatrel.max_message_length = 1;
SELECT message FROM chatrel.send_group_message(1, '👋');
SELECT message FROM chatrel.send_group_message(1, 'xx');
SET chatrel.max_name_length = 2;
SELECT name FROM chatrel.create_group('👋👋');
SELECT name FROM chatrel.create_group('xxx');
SELECT username FROM chatrel.create_user('👋👋');
SELECT username FROM chatrel.create_user('xxx');
-- what is there already stays
SELECT char_length(message) AS chars FROM chatrel.group_messages(1) ORDER BY 1 DESC LIMIT 1;

-- the bounds of the parameters
SET chatrel.max_name_length = 0;
SET chatrel.max_name_length = 641;
SET chatrel.max_name_length = 1;
SET chatrel.max_name_length = 640;
-- the longest name of all can be indexed, also where it does not compress
SELECT char_length(name) AS chars, octet_length(name) AS bytes FROM chatrel.create_group(
	(SELECT string_agg(chr(131072 + (i * 7919) % 40000), '') FROM generate_series(1, 640) i));
SELECT char_length(username) AS chars, octet_length(username) AS bytes FROM chatrel.create_user(
	(SELECT string_agg(chr(131072 + (i * 7919) % 40000), '') FROM generate_series(1, 640) i));
SELECT chatrel.create_group(repeat('x', 641));
SET chatrel.max_message_length = 0;
SET chatrel.max_message_length = 10485761;
SET chatrel.max_message_length = 10485760;
SHOW chatrel.max_message_length;
SET chatrel.max_message_length = '1kB';

-- a message whose event no NOTIFY can carry is sent, and read in full
SELECT octet_length(message) AS bytes FROM chatrel.send_group_message(1, repeat('👋', 100000));
SELECT length(message) AS chars, message = repeat('👋', 100000) AS whole FROM chatrel.group_messages(1, message_limit => 1);
SELECT length(chatrel.get_group_with_chat_history(1, message_limit => 1) -> 'messages' -> 0 ->> 'message') AS chars;
-- at the very limit of NOTIFY, where each character is 6 bytes of JSON, and where it is one
SELECT count(*) FROM generate_series(1300, 1340) i, chatrel.send_group_message(1, repeat(E'\x01', i));
SELECT count(*) FROM generate_series(7850, 8010) i, chatrel.send_group_message(1, repeat('x', i));
-- the longest of all
SELECT length(message) AS chars FROM chatrel.send_group_message(1, repeat('x', 10485760));
SELECT chatrel.send_group_message(1, repeat('x', 10485761));

-- an answer holds 10,000 messages, or 16 MB of them, and says that there is more
SELECT chatrel.create_group('large', true) \gset
SELECT id AS large FROM chatrel.my_groups() WHERE name = 'large' \gset
SELECT count(*) FROM generate_series(1, 6) i, chatrel.send_group_message(:large, repeat('x', 5 * 1024 * 1024 - i));
SELECT count(*) FROM generate_series(1, 2) i, chatrel.send_group_message(:large, repeat('👋', 5 * 1024 * 1024 - i));
CREATE TEMP TABLE answers AS
	WITH RECURSIVE pages AS (
		SELECT 1 AS page, chatrel.sync(NULL, :large, 1000000) AS answer
		UNION ALL
		SELECT page + 1, chatrel.sync(answer ->> 'cursor', :large, 1000000) FROM pages WHERE (answer ->> 'more')::bool)
	SELECT page, jsonb_array_length(answer -> 'events') AS events, answer ->> 'more' AS more FROM pages;
SELECT * FROM answers ORDER BY page;
SELECT jsonb_array_length(d -> 'messages') AS messages, d -> 'more' AS more
	FROM chatrel.get_group_with_chat_history(:large, message_limit => 1000) AS d;
-- the next page of it, which is the last
SELECT jsonb_array_length(d -> 'messages') AS messages, d -> 'more' AS more
	FROM chatrel.get_group_with_chat_history(:large, (SELECT min(id) + 3 FROM chatrel.group_messages(:large)), 3) AS d;
SELECT chatrel.create_group('many', true) \gset
SELECT id AS many FROM chatrel.my_groups() WHERE name = 'many' \gset
SELECT count(*) FROM generate_series(1, 10001) i, chatrel.send_group_message(:many, 'x' || i);
SELECT jsonb_array_length(d -> 'events') AS events, d -> 'more' AS more FROM chatrel.sync(NULL, :many, 2147483647) AS d;
SELECT jsonb_array_length(d -> 'messages') AS messages, d -> 'more' AS more
	FROM chatrel.get_group_with_chat_history(:many, message_limit => 2147483647) AS d;

-- names at their longest, of characters that JSON escapes, are announced
SET chatrel.max_name_length = 640;
SELECT id AS longest FROM chatrel.create_user(repeat(E'\x01', 640)) \gset
SELECT chatrel.join_group(1, as_user => :longest);
SELECT chatrel.leave_group(1, as_user => :longest);

RESET chatrel.max_message_length;
RESET chatrel.max_name_length;
RESET chatrel.user_id;
DROP EXTENSION chatrel;
