-- The recipe "A social network with protected accounts" of doc/relationships.md: an
-- application's own table of posts, whose policy asks chatrel who may see them.
\ir scenario.psql
SELECT plan(24);

CREATE ROLE web;
GRANT USAGE ON SCHEMA chatrel TO web;
GRANT SET ON PARAMETER chatrel.user_id TO web;
GRANT EXECUTE ON FUNCTION chatrel.find_user(text) TO web;

CREATE TABLE posts (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	author_id bigint NOT NULL REFERENCES chatrel.users ON DELETE CASCADE,
	body text NOT NULL,
	created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ON posts (author_id, id);
ALTER TABLE posts ENABLE ROW LEVEL SECURITY;
CREATE POLICY posts_read ON posts FOR SELECT USING (chatrel.may_view_posts(author_id));
CREATE POLICY posts_write ON posts FOR INSERT WITH CHECK (author_id = (SELECT chatrel.current_user_id()));
CREATE POLICY posts_delete ON posts FOR DELETE USING (author_id = (SELECT chatrel.current_user_id()));
GRANT SELECT, INSERT, DELETE ON posts TO web;

SELECT (chatrel.create_user('ann')).id AS ann, (chatrel.create_user('bob')).id AS bob, (chatrel.create_user('cy')).id AS cy \gset
CREATE FUNCTION pg_temp.seen() RETURNS text LANGUAGE sql AS $$ SELECT string_agg(body, ', ' ORDER BY id) FROM posts $$;

SET ROLE web;
-- a log-in: nobody acts yet
SELECT is((chatrel.find_user('ann')).id, :ann::bigint, 'the application finds who logs in');
SELECT is(pg_temp.seen(), NULL, 'nobody sees nothing');

-- ann protects her account and posts
SET chatrel.user_id = :ann;
SELECT ok(chatrel.set_protected(true), 'ann protects her account');
INSERT INTO posts (author_id, body) VALUES (:ann, 'breakfast'), (:ann, 'lunch');
SELECT is(pg_temp.seen(), 'breakfast, lunch', 'she sees what she has posted');
SELECT throws_ok(format('INSERT INTO posts (author_id, body) VALUES (%s, ''forged'')', :bob), '42501', NULL, 'and posts for nobody else');

-- bob asks
SET chatrel.user_id = :bob;
INSERT INTO posts (author_id, body) VALUES (:bob, 'hello');
SELECT is(pg_temp.seen(), 'hello', 'bob sees his own');
SELECT is(chatrel.follow(:ann), NULL, 'and asks to follow ann');
SELECT is(pg_temp.seen(), 'hello', 'to ask is not to see');

-- ann hears of it, and accepts
SET chatrel.user_id = :ann;
SELECT is(e -> 'follow_requested' ->> 'username', 'bob', 'ann hears who asks')
	FROM jsonb_array_elements(chatrel.sync(event_limit => 10) -> 'events') e WHERE e ? 'follow_requested';
SELECT results_eq('SELECT username FROM chatrel.follow_requests()', $$VALUES ('bob')$$, 'and has a list');
SELECT ok(chatrel.accept_follow(:bob), 'she accepts');
SELECT is(pg_temp.seen(), 'breakfast, lunch', 'which does not show her what bob posts');

SET chatrel.user_id = :bob;
SELECT is(pg_temp.seen(), 'breakfast, lunch, hello', 'bob sees what she posts');
SELECT is(e -> 'follow_accepted' ->> 'username', 'ann', 'and has heard of it')
	FROM jsonb_array_elements(chatrel.sync(event_limit => 10) -> 'events') e WHERE e ? 'follow_accepted';

-- cy follows bob, who is open, and not ann
SET chatrel.user_id = :cy;
SELECT ok(chatrel.follow(:bob), 'cy follows bob');
SELECT is(pg_temp.seen(), 'hello', 'and sees his posts, not ann''s');
SELECT ok(chatrel.follow(:bob, 'name_only'), 'for his name only');
SELECT is(pg_temp.seen(), NULL, 'is not for posts');

-- ann blocks bob, and says no more about it
SET chatrel.user_id = :ann;
SELECT ok(chatrel.block(:bob), 'ann blocks bob');
SET chatrel.user_id = :bob;
SELECT is(pg_temp.seen(), 'hello', 'bob sees nothing of hers any more');
SELECT throws_ok(format('SELECT chatrel.follow(%s)', :ann), '42501', NULL, 'and cannot ask again');
SELECT is((SELECT count(*) FROM jsonb_array_elements(chatrel.sync(event_limit => 100) -> 'events') e WHERE e ?| '{unfollowed,blocked}'), 0::bigint, 'nobody tells him');

-- a timeline: the newest of each whom cy follows for posts
SET chatrel.user_id = :cy;
SELECT chatrel.follow(:bob);
RESET ROLE;
INSERT INTO posts (author_id, body) SELECT :bob, 'post ' || n FROM generate_series(1, 1000) n;
SET ROLE web;
SELECT results_eq($$ SELECT p.body FROM chatrel.following(follow_type => 'posts', row_limit => 1000) f CROSS JOIN LATERAL
	(SELECT * FROM posts WHERE author_id = f.id ORDER BY id DESC LIMIT 10) p ORDER BY p.id DESC LIMIT 50 $$,
	$$ SELECT 'post ' || n FROM generate_series(1000, 991, -1) n $$, 'cy reads a timeline');
RESET ROLE;

-- the account goes, and the posts with it
SELECT chatrel.erase_user(:bob);
DELETE FROM posts WHERE author_id = :bob;
SET ROLE web;
SELECT is(pg_temp.seen(), NULL, 'what remains is not cy''s to see');

RESET ROLE;
DROP OWNED BY web;
DROP ROLE web;
SELECT * FROM finish();
