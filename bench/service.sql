-- The tables of a chat service as its ORM makes them: a web server in front of them
-- checks who may do what. They have the same users, groups and members as chatrel's. A
-- unique key finds a membership, which is more than the ORM was asked for.

CREATE SCHEMA service;

CREATE TABLE service.users (
	id bigserial PRIMARY KEY,
	username varchar(256) NOT NULL UNIQUE
);
INSERT INTO service.users (id, username) SELECT id, username FROM chatrel.users;

CREATE TABLE service.groups (
	id bigserial PRIMARY KEY,
	name varchar(256) NOT NULL UNIQUE
);
INSERT INTO service.groups (id, name) SELECT id, name FROM chatrel.groups;

CREATE TABLE service.groups_members (
	id bigserial PRIMARY KEY,
	group_id bigint REFERENCES service.groups,
	user_id bigint REFERENCES service.users,
	UNIQUE (group_id, user_id)
);
INSERT INTO service.groups_members (group_id, user_id)
	SELECT group_id, user_id FROM chatrel.groups_members;

CREATE TABLE service.groups_messages (
	id bigserial PRIMARY KEY,
	datetime timestamptz NOT NULL,
	group_id bigint REFERENCES service.groups,
	sender_id bigint REFERENCES service.users,
	message varchar(512) NOT NULL
);

GRANT USAGE ON SCHEMA service TO app;
GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA service TO app;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA service TO app;

VACUUM ANALYZE service.users, service.groups, service.groups_members;
