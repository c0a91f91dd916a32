// What the page knows, and the one handler for what happens, whether it was heard or caught up
// with.
//
// The cursor is moved by answers of sync alone; an event that was handled is skipped.  While
// something is being read, events about it wait: what the answer has seen is followed by what came
// after it, and to handle once more what it has seen already does no harm.  Others do not: where
// there are several databases, one of them may take its time.

import { Connection } from './connection.js';

const REMEMBER = 20000; // ids of events that were handled
const SYNC_EVERY_MS = 60000;
const PAGE = 50; // messages, as the gateway asks for them
const LIST_AFTER_MS = 250; // the list of conversations is read again so long after an event
const READ_AFTER_MS = 200;
const TYPING_MS = 6000;
const TYPE_EVERY_MS = 3000; // chatrel lets nobody be heard more often

export const state = {
  me: null, // id
  connected: false,
  names: new Map(), // id -> username
  conversations: [], // as my_groups has them, with "document", the group
  invitations: [],
  blocked: new Set(),
  online: new Set(),
  open: null, // the conversation that is shown, or null
};

// A conversation that is shown has { id, messages: Map(id -> Message), atStart, atEnd,
// requests, typing: Map(user -> when it ends) }, and "pending": what the server has not
// confirmed yet, of all conversations.
export const pending = []; // { key, group, text, replyTo, mentions, error }

let connection;
let cursor = null;
let handled = new Set();
const reads = new Set(); // what is being read: each with isAbout(kind, event), what waits for it
let waiting = []; // events
const stale = new Set(); // messages of the conversation that is shown, to be read again
let show = () => {};
let listTimer = null;
let isListStale = false;
let catchingUp = false;
const sending = new Set(); // groups

export const call = (name, ...args) => connection.call(name, ...args);

// Calls show({ list, messages, … }) with what has changed.
export function start(me, shows, loggedOut) {
  show = shows;
  state.me = me;
  connection = new Connection({
    opened: () => {
      state.connected = true;
      show({ status: true });
      if (cursor) catchUp();
      if (cursor) readListSoon(); // and who is online, which sync does not tell
    },
    lost: () => {
      state.connected = false;
      show({ status: true });
    },
    told: ({ event, reload, sync }) => {
      if (reload) begin();
      if (sync && cursor) catchUp();
      if (event) waiting.push(event);
      drain();
    },
    loggedOut,
  });
  setInterval(() => {
    if (!state.connected || !cursor) return;
    catchUp();
    readListSoon();
  }, SYNC_EVERY_MS);
  begin();
}

export const stop = () => connection.close();

// ---------------------------------------------------------------- reading

const anything = () => true;
const ofGroup = (group) => (kind, event) => event.group_id === group;
const ofPresence = (kind) => kind === 'presence';

// Events wait until what was read has been put in its place.
async function hold(isAbout, work) {
  const read = { isAbout };
  reads.add(read);
  try {
    return await work();
  } finally {
    reads.delete(read);
    drain();
  }
}

const isHeld = (kind, event) => [...reads].some(({ isAbout }) => isAbout(kind, event));

// From nothing: the cursor first, then what there is.
function begin() {
  return hold(anything, async () => {
    cursor = null;
    handled = new Set();
    waiting = [];
    cursor = (await call('sync', 'now')).cursor;
    state.blocked = new Set((await call('blocked')).map((row) => row.user_id));
    await readList();
    if (state.open) await openConversation(state.open.id);
  });
}

async function catchUp() {
  if (catchingUp) return;
  catchingUp = true;
  try {
    await hold(anything, async () => {
      const missed = [];
      let answer = { more: true };
      while (answer.more) {
        const from = cursor;
        answer = await call('sync', from);
        if (cursor !== from) return; // it began from nothing meanwhile
        cursor = answer.cursor;
        missed.push(...answer.events);
      }
      waiting.unshift(...missed);
    });
  } catch (error) {
    if (error.code !== '55000') throw error;
    begin(); // the database has another history than the one that we know
  } finally {
    catchingUp = false;
  }
}

async function readList() {
  const [conversations, invitations] = await Promise.all([
    call('conversations'), call('invitations')]);
  for (const { document } of conversations) {
    for (const { id, username } of document.members) state.names.set(id, username);
  }
  state.conversations = conversations;
  state.invitations = invitations;
  await learnNames([...conversations.map((c) => c.last_message_sender_id),
    ...invitations.map((i) => i.invited_by)]);
  await readPresence();
  show({ list: true });
}

// Who comes and goes is told; who was there before is asked for.
function readPresence() {
  const members = state.conversations.flatMap(({ document }) => document.members);
  return hold(ofPresence, async () => {
    const rows = await call('presence', [...new Set(members.map(({ id }) => id))])
      .catch(() => []); // a server that does not preload chatrel does not know
    state.online = new Set(rows.filter((row) => row.online).map((row) => row.user_id));
  });
}

// One time after the other, however long it takes
export function readListSoon() {
  isListStale = true;
  listTimer ??= setTimeout(async () => {
    isListStale = false;
    try {
      await readList();
    } finally {
      listTimer = null;
      if (isListStale) readListSoon();
    }
  }, LIST_AFTER_MS);
}

async function learnNames(ids) {
  const unknown = [...new Set(ids)].filter((id) => id !== null && !state.names.has(id));
  if (unknown.length === 0) return;
  for (const { id, username } of await call('names', unknown)) state.names.set(id, username);
}

async function page(group, { before = null, after = null, around = null } = {}) {
  const document = await call('history', group, before, after, around);
  for (const { id, username } of document.members) state.names.set(id, username);
  await learnNames(document.messages.flatMap((m) => [m.sender_id, ...(m.mentions ?? [])]));
  return { messages: document.messages, isLast: document.messages.length < PAGE && !document.more };
}

// Shows the newest messages of a conversation, or those around one of them.
export async function openConversation(id, around = null) {
  const conversation = state.open?.id === id ? state.open
    : { id, messages: new Map(), atStart: false, atEnd: false, requests: [], typing: new Map() };
  const isOther = state.open !== conversation;
  state.open = conversation;
  if (isOther) {
    stale.clear();
    show({ messages: true, list: true });
  }
  await hold(ofGroup(id), async () => {
    const { messages, isLast } = await page(id, { around });
    conversation.messages = new Map(messages.map((message) => [message.id, message]));
    conversation.atStart = around === null && isLast;
    conversation.atEnd = around === null;
  }).catch((error) => {
    if (conversation.messages.size === 0) groupLost({ group_id: id }); // it was never shown
    throw error;
  });
  if (state.open !== conversation) return; // another one was opened meanwhile
  show({ messages: true, list: true, focus: around, toEnd: around === null });
  readRequests();
  markRead();
}

export async function readMore(direction) {
  const conversation = state.open;
  const edge = direction === 'older' ? 'atStart' : 'atEnd';
  if (!conversation || conversation.loading || conversation[edge]) return;
  if (conversation.messages.size === 0) return;
  const ids = [...conversation.messages.keys()];
  conversation.loading = true;
  await hold(ofGroup(conversation.id), async () => {
    const { messages, isLast } = await page(conversation.id, direction === 'older'
      ? { before: Math.min(...ids) } : { after: Math.max(...ids) });
    for (const message of messages) conversation.messages.set(message.id, message);
    conversation[edge] = isLast;
  }).finally(() => { conversation.loading = false; });
  if (state.open !== conversation) return;
  show({ messages: true });
  markRead();
}

export const closeConversation = () => { state.open = null; };

async function readRequests() {
  const conversation = state.open;
  const { document } = state.conversations.find((c) => c.id === conversation.id) ?? {};
  if (!document || document.visibility === 'direct') return;
  // Members who are no moderators are refused, and have none to see.
  conversation.requests = await call('requests', conversation.id).catch(() => []);
  if (state.open === conversation) show({ requests: true });
}

// What is shown is read; said at most so often, since each time is a transaction.
export function markRead() {
  const conversation = state.open;
  if (!conversation?.atEnd || document.hidden || conversation.readTimer) return;
  conversation.readTimer = setTimeout(() => {
    conversation.readTimer = null;
    const last = Math.max(0, ...conversation.messages.keys());
    if (last <= (conversation.read ?? 0)) return;
    conversation.read = last;
    call('mark_read', conversation.id, last).then(readListSoon, () => {});
  }, READ_AFTER_MS);
}

// ---------------------------------------------------------------- events

function drain() {
  const events = waiting;
  waiting = [];
  for (const event of events) {
    const [[kind, details]] = Object.entries(event);
    if (isHeld(kind, details)) waiting.push(event);
    else handle(kind, details);
  }
  if (stale.size > 0 && state.open && !isHeld('message', { group_id: state.open.id })) refresh();
}

function handle(kind, event) {
  if (event.datetime) { // it is kept, and has an id of its own
    if (handled.has(event.id)) return;
    handled.add(event.id);
    if (handled.size > REMEMBER) handled.delete(handled.values().next().value);
  }
  handlers[kind]?.(event);
}

// Counts of reactions are the server's: it says what they are now.
function refresh() {
  const conversation = state.open;
  const ids = [...stale];
  stale.clear();
  hold(ofGroup(conversation.id), () => Promise.all(ids.map(async (id) => {
    const message = await call('message', conversation.id, id).catch(() => null);
    if (!message || state.open !== conversation) return;
    conversation.messages.set(id, message);
    show({ message: id });
  })));
}

const isShown = ({ group_id: group, message_id: message }) =>
  state.open?.id === group && state.open.messages.has(message);

function put(message) {
  const at = pending.findIndex(({ key }) => key === message.metadata?.key);
  if (at >= 0) pending.splice(at, 1);
  const { open } = state;
  if (open?.id !== message.group_id || open.messages.has(message.id)) return;
  // What is outside of the part that is shown comes with its page.
  const first = Math.min(...open.messages.keys());
  if (!open.atEnd || (message.id < first && !open.atStart)) return;
  open.messages.set(message.id, message);
  open.typing.delete(message.sender_id);
  learnNames([message.sender_id, ...(message.mentions ?? [])])
    .then(() => show({ message: message.id }));
  show({ message: message.id });
  markRead();
}

function change(event, keys) {
  readListSoon();
  if (!isShown(event)) return;
  Object.assign(state.open.messages.get(event.message_id), keys);
  show({ message: event.message_id });
}

function reactionsChanged(event) {
  if (isShown(event)) stale.add(event.message_id);
}

function peopleChanged({ user_id: user, username }) {
  if (username) state.names.set(user, username);
  readListSoon();
}

function groupLost({ group_id: group }) {
  if (state.open?.id === group) {
    state.open = null;
    show({ messages: true });
  }
  readListSoon();
}

const handlers = {
  group_message: (message) => {
    put(message);
    readListSoon();
  },
  message_edited: (event) => {
    if (event.message) change(event, { message: event.message, edited_at: event.edited_at });
  },
  message_deleted: (event) => change(event, {
    message: null, deleted_at: event.datetime, mentions: undefined, metadata: undefined,
    reactions: undefined, my_reactions: undefined }),
  reaction_added: reactionsChanged,
  reaction_removed: reactionsChanged,
  mentioned: readListSoon,
  read: (event) => { if (event.user_id === state.me) readListSoon(); },
  member_joined: peopleChanged,
  member_left: peopleChanged,
  member_changed: peopleChanged,
  user_changed: peopleChanged,
  group_changed: readListSoon,
  added_to_group: readListSoon,
  removed_from_group: groupLost,
  group_deleted: groupLost,
  invited: readListSoon,
  join_requested: (event) => { if (state.open?.id === event.group_id) readRequests(); },
  followed: ({ username }) => show({ toast: `${username} follows you` }),

  // Presence and typing: nothing of them is kept.
  presence: ({ user_id: user, online }) => {
    if (online) state.online.add(user);
    else state.online.delete(user);
    show({ list: true });
  },
  typing: ({ group_id: group, user_id: user }) => {
    const { open } = state;
    if (open?.id !== group || user === state.me || state.blocked.has(user)) return;
    open.typing.set(user, Date.now() + TYPING_MS);
    learnNames([user]).then(() => show({ typing: true }));
    setTimeout(() => show({ typing: true }), TYPING_MS + 100);
  },
};

// ---------------------------------------------------------------- sending

export function typing() {
  const { open, connected } = state;
  if (!open || !connected || Date.now() < (open.typedAt ?? 0) + TYPE_EVERY_MS) return;
  open.typedAt = Date.now();
  call('typing', open.id).catch(() => {}); // who may not, is told when it is sent
}

// Messages of a conversation are sent one after the other.  They are shown at once, as pending, and
// leave the list when their answer or their event comes, whichever is first.
export function send(group, text, replyTo, mentions) {
  pending.push({ key: crypto.randomUUID(), group, text, replyTo, mentions });
  show({ pending: true, toEnd: true });
  if (state.open?.id === group && !state.open.atEnd) openConversation(group);
  sendPending(group);
}

export function dropPending(key) {
  pending.splice(pending.findIndex((message) => message.key === key), 1);
  show({ pending: true });
}

async function sendPending(group) {
  if (sending.has(group)) return;
  sending.add(group);
  for (;;) {
    const message = pending.find((one) => one.group === group && !one.error);
    if (!message) break;
    const { text, replyTo, mentions, key } = message;
    try {
      const [sent] = await call('send', group, text, replyTo, mentions, key);
      put(sent);
    } catch (error) {
      message.error = error.message;
    }
    show({ pending: true });
  }
  sending.delete(group);
}
