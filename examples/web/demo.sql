-- People and groups for a first look: log in as ann, ben or cleo, or as somebody new.

DO $$
BEGIN
	PERFORM chatrel.create_user(name) FROM unnest('{ann,ben,cleo}'::text[]) AS name;
	LOOP -- until the shards, where there are any, have heard of them
		BEGIN
			PERFORM chatrel.unread_counts(as_user => (chatrel.find_user('cleo')).id);
			RETURN;
		EXCEPTION WHEN no_data_found THEN
			PERFORM pg_sleep(0.1);
		END;
	END LOOP;
END $$;

DO $$
DECLARE
	ann bigint := (chatrel.find_user('ann')).id;
	ben bigint := (chatrel.find_user('ben')).id;
	cleo bigint := (chatrel.find_user('cleo')).id;
	walks bigint := (chatrel.create_group('Walks', true,
		description => 'Where we go on Sundays', as_user => ann)).id;
	books bigint := (chatrel.create_group('Book club', true, join_policy => 'request',
		description => 'One book a month', as_user => cleo)).id;
	party bigint := (chatrel.create_group('Surprise for Dora', true, 'private', as_user => ben)).id;
	asked bigint;
BEGIN
	PERFORM chatrel.join_group(walks, as_user => ben), chatrel.join_group(walks, as_user => cleo);
	PERFORM chatrel.invite(party, ARRAY[ann], as_user => ben);
	asked := (chatrel.send_group_message(walks, 'Is anybody up for a walk at noon?',
		as_user => ann)).id;
	PERFORM chatrel.send_group_message(walks, 'Yes, if it stops raining.', reply_to_id => asked,
		as_user => ben);
	PERFORM chatrel.add_reaction(walks, asked, '👍', as_user => cleo);
	PERFORM chatrel.send_group_message(walks, '@ann it has. I bring tea.', mentions => ARRAY[ann],
		as_user => cleo);
	PERFORM chatrel.send_group_message(books, 'This month: The Summer Book, by Tove Jansson.',
		as_user => cleo);
	PERFORM chatrel.follow(ann, as_user => ben);
END $$;
