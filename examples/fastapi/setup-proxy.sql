-- What the service needs on the proxy, once, as a superuser.

SELECT 'CREATE ROLE service LOGIN' WHERE to_regrole('service') IS NULL \gexec
GRANT USAGE ON SCHEMA chatrel TO service;
GRANT SET ON PARAMETER chatrel.user_id TO service;
