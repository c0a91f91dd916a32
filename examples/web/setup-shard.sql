-- What the gateway needs on each shard besides home, which has setup.sql; once, as a superuser.

SELECT 'CREATE ROLE web LOGIN' WHERE to_regrole('web') IS NULL \gexec
GRANT USAGE ON SCHEMA chatrel TO web;
GRANT EXECUTE ON FUNCTION chatrel.listen_all, chatrel.sync_all, chatrel.group_members_of TO web;
GRANT EXECUTE ON FUNCTION chatrel.report_online TO web;
