// PostGraphile 5 on the schema api of the application's, as doc/clients.md says.  Who is logged in
// is what TOKENS says, {"token": id}; an application asks its own sessions.  Prints its port.

import { createServer } from 'node:http';
import { GraphQLError } from 'graphql';
import { postgraphile } from 'postgraphile';
import { makePgService } from 'postgraphile/adaptors/pg';
import { grafserv } from 'postgraphile/grafserv/node';
import { PostGraphileAmberPreset } from 'postgraphile/presets/amber';

const tokens = JSON.parse(process.env.TOKENS);

// The id of the user who sends a request, or undefined
function userOf(request) {
	return tokens[request.headers.authorization?.replace(/^Bearer /, '')];
}

// What PostGraphile would hide, of an error of the database's
function maskError(error) {
	const { code, message } = error.originalError ?? {};
	return new GraphQLError(message ?? error.message, {
		nodes: error.nodes,
		path: error.path,
		extensions: { errcode: code },
	});
}

const instance = postgraphile({
	extends: [PostGraphileAmberPreset],
	pgServices: [makePgService({ connectionString: process.env.DATABASE_URL, schemas: ['api'] })],
	grafast: {
		context: ({ node }) => ({
			// In this order: the role may not set the user.
			pgSettings: {
				'chatrel.user_id': userOf(node.req),
				role: 'chat_client',
				statement_timeout: '5s',
			},
		}),
	},
	grafserv: { maskError },
});

const server = createServer();
await instance.createServ(grafserv).addTo(server);
server.listen(0, '127.0.0.1', () => console.log(`port ${server.address().port}`));
