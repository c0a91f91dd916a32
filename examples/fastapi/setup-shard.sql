-- What the service needs on each shard besides home, which has setup.sql; once, as a superuser.

SELECT 'CREATE ROLE service LOGIN' WHERE to_regrole('service') IS NULL \gexec
GRANT USAGE ON SCHEMA chatrel TO service;
GRANT EXECUTE ON FUNCTION chatrel.listen_all, chatrel.sync_all, chatrel.group_members_of TO service;
