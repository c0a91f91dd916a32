// PostGraphile 4 on the schema chatrel itself, as doc/clients.md says.  Who is logged in is what
// TOKENS says, {"token": id}; an application asks its own sessions.  Prints its port.

const { createServer } = require('node:http');
const { makeJSONPgSmartTagsPlugin, postgraphile } = require('postgraphile');

const tokens = JSON.parse(process.env.TOKENS);

// The id of the user who sends a request, or undefined
function userOf(request) {
	return tokens[request.headers.authorization?.replace(/^Bearer /, '')];
}

const handler = postgraphile(process.env.DATABASE_URL, 'chatrel', {
	includeExtensionResources: true,
	ignoreRBAC: false,
	simpleCollections: 'only',
	dynamicJson: true,
	extendedErrors: ['errcode'],
	appendPlugins: [
		// A table and a function have each of these names.
		makeJSONPgSmartTagsPlugin({
			version: 1,
			config: {
				class: {
					follow_requests: { tags: { name: 'follow_request_row' } },
					pinned_messages: { tags: { name: 'pinned_message_row' } },
				},
			},
		}),
	],
	pgSettings: request => ({
		'chatrel.user_id': userOf(request),
		role: 'chat_client',
		statement_timeout: '5s',
	}),
	retryOnInitFail: false,
	disableQueryLog: true,
});

const server = createServer(handler);
server.listen(0, '127.0.0.1', () => console.log(`port ${server.address().port}`));
