-- What the gateway needs on the proxy, once, as a superuser.

SELECT 'CREATE ROLE web LOGIN' WHERE to_regrole('web') IS NULL \gexec
GRANT USAGE ON SCHEMA chatrel TO web;
GRANT SET ON PARAMETER chatrel.user_id TO web;
GRANT EXECUTE ON FUNCTION chatrel.find_user, chatrel.create_user TO web;
