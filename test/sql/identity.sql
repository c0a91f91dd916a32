-- Who is calling: create_user, delete_user, chatrel.user_id, role_name, as_user.

SET client_min_messages = warning;
SET TimeZone = 'UTC';
CREATE EXTENSION chatrel;
CREATE ROLE regress_chatrel_ann;
CREATE ROLE regress_chatrel_bob;
CREATE ROLE regress_chatrel_app;
GRANT USAGE ON SCHEMA chatrel TO regress_chatrel_ann, regress_chatrel_bob, regress_chatrel_app;
GRANT SET ON PARAMETER chatrel.user_id TO regress_chatrel_app;

---------------------------------------------------------------------------
-- create_user
---------------------------------------------------------------------------

BEGIN;
SELECT id, username, role_name, created_at = now() AS now, deleted_at FROM chatrel.create_user('ann');
SELECT id, username, role_name FROM chatrel.create_user(username => 'bob', role_name => 'regress_chatrel_bob');
COMMIT;
SELECT id, username, role_name FROM chatrel.create_user('ann');
SELECT id, username, role_name FROM chatrel.create_user('cyd', 'regress_chatrel_bob');
SELECT id, username, role_name FROM chatrel.create_user('cyd', 'regress_chatrel_no_such_role');
-- names are as they are written
SELECT username FROM chatrel.create_user('Ann');
SELECT username FROM chatrel.create_user(' ann ');
SELECT username FROM chatrel.create_user('☃ "quoted" \n ''x''');
-- a name is not ' ' and not a role's
SELECT username, role_name FROM chatrel.create_user('regress_chatrel_ann');
SELECT count(*) FROM chatrel.users;

---------------------------------------------------------------------------
-- chatrel.user_id
---------------------------------------------------------------------------

SHOW chatrel.user_id;
SELECT chatrel.current_user_id();
SET chatrel.user_id = 1;
SELECT chatrel.current_user_id();
SET chatrel.user_id = '2';
SELECT chatrel.current_user_id(), pg_typeof(chatrel.current_user_id());
-- 64 bits
SET chatrel.user_id = 9223372036854775807;
SELECT chatrel.current_user_id();
SET chatrel.user_id = '4294967297';
SELECT chatrel.current_user_id();
-- bad values change nothing
SET chatrel.user_id = 9223372036854775808;
SET chatrel.user_id = 0;
SET chatrel.user_id = -1;
SET chatrel.user_id = 'ann';
SET chatrel.user_id = '1x';
SET chatrel.user_id = '1 ';
SET chatrel.user_id = '1.0';
SET chatrel.user_id = '0x1';
SET chatrel.user_id = ' ';
SELECT chatrel.current_user_id();
-- empty is nobody
SET chatrel.user_id = '';
SELECT chatrel.current_user_id();
SET chatrel.user_id = 1;
RESET chatrel.user_id;
SELECT chatrel.current_user_id();
-- for a transaction, as behind a pooler
BEGIN;
SET LOCAL chatrel.user_id = 1;
SELECT chatrel.current_user_id();
COMMIT;
SELECT chatrel.current_user_id();
BEGIN;
SELECT set_config('chatrel.user_id', '2', true);
SELECT chatrel.me() ->> 'username' AS me;
SAVEPOINT a;
SET LOCAL chatrel.user_id = 1;
SELECT chatrel.me() ->> 'username' AS me;
ROLLBACK TO a;
SELECT chatrel.me() ->> 'username' AS me;
ROLLBACK;
SELECT chatrel.current_user_id();
-- in a function's settings
CREATE FUNCTION me_as_ann() RETURNS text LANGUAGE sql SET chatrel.user_id = 1 AS $$ SELECT chatrel.me() ->> 'username' $$;
SELECT me_as_ann(), chatrel.current_user_id();
DROP FUNCTION me_as_ann();
-- it is no more than a claim: the user need not exist
SET chatrel.user_id = 99;
SELECT chatrel.current_user_id();
SELECT chatrel.me();
-- and one plan serves every user in turn
PREPARE me AS SELECT chatrel.me() ->> 'username' AS me;
SET chatrel.user_id = 1;
EXECUTE me;
SET chatrel.user_id = 2;
EXECUTE me;
RESET chatrel.user_id;
EXECUTE me;
SET ROLE regress_chatrel_bob;
EXECUTE me;
RESET ROLE;
DEALLOCATE me;

---------------------------------------------------------------------------
-- role_name
---------------------------------------------------------------------------

SET ROLE regress_chatrel_bob;
SELECT chatrel.current_user_id(), chatrel.me() ->> 'username' AS me;
SET ROLE regress_chatrel_ann;
SELECT chatrel.current_user_id();
RESET ROLE;
SET SESSION AUTHORIZATION regress_chatrel_bob;
SELECT chatrel.current_user_id();
RESET SESSION AUTHORIZATION;
SELECT chatrel.current_user_id();
-- the parameter goes before the role
SET chatrel.user_id = 1;
SET ROLE regress_chatrel_bob;
SELECT chatrel.current_user_id();
RESET ROLE;
RESET chatrel.user_id;
-- SECURITY DEFINER does not make a function's owner the caller
CREATE FUNCTION who() RETURNS bigint LANGUAGE sql SECURITY DEFINER AS 'SELECT chatrel.current_user_id()';
ALTER FUNCTION who() OWNER TO regress_chatrel_bob;
SELECT who();
SET ROLE regress_chatrel_ann;
SELECT who();
RESET ROLE;
ALTER FUNCTION who() OWNER TO regress_chatrel_ann;
SET ROLE regress_chatrel_bob;
SELECT who();
RESET ROLE;
DROP FUNCTION who();

---------------------------------------------------------------------------
-- as_user
---------------------------------------------------------------------------

-- for a superuser, and whoever may set the parameter: anybody
SELECT chatrel.me(as_user => 1) ->> 'username' AS me;
SET ROLE regress_chatrel_app;
SELECT chatrel.me(as_user => 1) ->> 'username' AS me;
SELECT chatrel.me(as_user => 2) ->> 'username' AS me;
SELECT chatrel.current_user_id();
-- it goes before the parameter
SET chatrel.user_id = 2;
SELECT chatrel.me(as_user => 1) ->> 'username' AS me;
SELECT chatrel.me(as_user => NULL) ->> 'username' AS me;
RESET chatrel.user_id;
RESET ROLE;
-- for everybody else: oneself
SET ROLE regress_chatrel_bob;
SELECT chatrel.me(as_user => 2) ->> 'username' AS me;
SELECT chatrel.me(as_user => 1);
RESET ROLE;
SET chatrel.user_id = 1;
SET ROLE regress_chatrel_ann;
SELECT chatrel.me(as_user => 1) ->> 'username' AS me;
SELECT chatrel.me(as_user => 2);
RESET ROLE;
RESET chatrel.user_id;
SET ROLE regress_chatrel_ann;
SELECT chatrel.me(as_user => 1);
RESET ROLE;
-- one that a role was granted and lost again
REVOKE SET ON PARAMETER chatrel.user_id FROM regress_chatrel_app;
SET ROLE regress_chatrel_app;
SELECT chatrel.me(as_user => 1);
SET chatrel.user_id = 1;
RESET ROLE;
-- by membership in a role that was granted it
GRANT SET ON PARAMETER chatrel.user_id TO regress_chatrel_app;
GRANT regress_chatrel_app TO regress_chatrel_ann;
SET ROLE regress_chatrel_ann;
SELECT chatrel.me(as_user => 1) ->> 'username' AS me;
RESET ROLE;

---------------------------------------------------------------------------
-- delete_user
---------------------------------------------------------------------------

SELECT id FROM chatrel.create_group('g', true, as_user => 2);
SELECT chatrel.join_group(1, as_user => 1);
SELECT id FROM chatrel.send_group_message(1, 'from bob', as_user => 2);
SELECT count(*) AS channels FROM chatrel.listen(as_user => 2);
UNLISTEN *;
SELECT channel AS old_channel FROM chatrel.groups_channels WHERE group_id = 1 \gset
SELECT channel AS own_channel FROM chatrel.users_channels WHERE user_id = 2 \gset
BEGIN;
SELECT chatrel.delete_user(2);
SELECT id, username, deleted_at = now() AS now FROM chatrel.users WHERE id = 2;
COMMIT;
-- out of everything but the messages
SELECT user_id FROM chatrel.groups_members;
SELECT channel <> :'old_channel' AS replaced FROM chatrel.groups_channels WHERE group_id = 1;
-- the own channel is nobody's any more, and another when the user is back
BEGIN;
UPDATE chatrel.users SET deleted_at = NULL WHERE id = 2;
SELECT count(*) AS channels, count(*) FILTER (WHERE channel = :'own_channel') AS kept FROM chatrel.users_channels WHERE user_id = 2;
UPDATE chatrel.users SET username = 'robert' WHERE id = 2;
SELECT channel AS new_channel FROM chatrel.users_channels WHERE user_id = 2 \gset
UPDATE chatrel.users SET deleted_at = NULL WHERE id = 2;
SELECT channel = :'new_channel' AS kept FROM chatrel.users_channels WHERE user_id = 2;
ROLLBACK;
SELECT chatrel.get_group(1, as_user => 1);
SELECT sender_id, message FROM chatrel.group_messages(1, as_user => 1);
SELECT creator_id FROM chatrel.groups WHERE id = 1;
-- gone for whoever asks
SELECT chatrel.delete_user(2);
SELECT chatrel.me(as_user => 2);
SET ROLE regress_chatrel_bob;
SELECT chatrel.current_user_id();
RESET ROLE;
-- name and role are free again
SELECT username, role_name FROM chatrel.create_user('bob', 'regress_chatrel_bob');
SELECT username, deleted_at IS NOT NULL AS deleted FROM chatrel.users WHERE username = 'bob' ORDER BY id;
-- rolled back
BEGIN;
SELECT chatrel.delete_user(1);
ROLLBACK;
SELECT chatrel.me(as_user => 1);

DROP EXTENSION chatrel;
REVOKE SET ON PARAMETER chatrel.user_id FROM regress_chatrel_app;
DROP ROLE regress_chatrel_ann, regress_chatrel_bob, regress_chatrel_app;
