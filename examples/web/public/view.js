// Shows the state.  Text comes into the page as text, never as HTML.

import { pending, readMore, state } from './state.js';

export const $ = (selector, within = document) => within.querySelector(selector);

export function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

export const nameOf = (id) => state.names.get(id) ?? 'somebody';

export const conversationOf = (id) => state.conversations.find((c) => c.id === id);

export function titleOf({ document: group }) {
  if (group.visibility !== 'direct') return group.name;
  const others = group.members.filter(({ id }) => id !== state.me);
  return others.map(({ username }) => username).join(', ') || 'Somebody who has left';
}

// "ann and ben are typing", or nothing
function listOf(names, what) {
  if (names.length === 0) return '';
  const all = names.length > 3 ? `${names.slice(0, 2).join(', ')} and ${names.length - 2} more`
    : new Intl.ListFormat('en').format(names);
  return `${all} ${names.length === 1 ? 'is' : 'are'} ${what}`;
}

let toastTimer;
export function toast(text) {
  $('#toast').textContent = text;
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => { $('#toast').textContent = ''; }, 6000);
}

const isToday = (date) => date.toDateString() === new Date().toDateString();
const timeOf = (text) => new Date(text).toLocaleString([], isToday(new Date(text))
  ? { hour: '2-digit', minute: '2-digit' }
  : { day: 'numeric', month: 'short', hour: '2-digit', minute: '2-digit' });

// ---------------------------------------------------------------- the conversations

function preview({ last_message_id: id, last_message: text, last_message_sender_id: sender }) {
  if (id === null) return 'No messages yet';
  return `${sender === state.me ? 'You' : nameOf(sender)}: ${text ?? 'message deleted'}`;
}

const onlineIn = ({ document: group }) => group.members.filter(({ id }) =>
  id !== state.me && state.online.has(id));

// Read aloud, where others see a colour
const unseen = (text) => element('span', { className: 'unseen', textContent: text });

// An item stays the same element as long as its conversation is there: one that is replaced
// between the press and the release of a button loses the click.
const items = new Map(); // group -> li

function makeItem(group, opened) {
  const button = element('button', { onclick: () => opened(group) },
    element('span', { className: 'kind', ariaHidden: true }),
    ...['name', 'badge', 'preview'].map((className) => element('span', { className })));
  button.dataset.group = group;
  return element('li', {}, button);
}

function fillItem(item, conversation) {
  const isOpen = state.open?.id === conversation.id;
  const { unread, unread_mentions: mentions } = conversation;
  const badge = $('.badge', item);
  const kind = $('.kind', item);
  const { visibility } = conversation.document;
  const isDirect = visibility === 'direct';
  const isOnline = isDirect && onlineIn(conversation).length > 0;
  kind.textContent = { private: '🔒', direct: isOnline ? '●' : '○' }[visibility] ?? '#';
  kind.classList.toggle('online', isOnline);
  badge.classList.toggle('mention', mentions > 0);
  badge.textContent = unread && !(isOpen && !document.hidden)
    ? `${mentions ? '@ ' : ''}${unread > 99 ? '99+' : unread}` : '';
  if (badge.textContent) badge.append(unseen(' unread'));
  $('.name', item).replaceChildren(titleOf(conversation),
    ...(isDirect ? [unseen(isOnline ? ', online' : ', offline')] : []));
  $('.preview', item).textContent = preview(conversation);
  if (isOpen) $('button', item).setAttribute('aria-current', 'true');
  else $('button', item).removeAttribute('aria-current');
}

export function showList(opened) {
  const list = $('#conversations');
  const wanted = state.conversations.map(({ id }) => {
    if (!items.has(id)) items.set(id, makeItem(id, opened));
    return items.get(id);
  });
  if (wanted.length !== list.children.length
      || wanted.some((item, i) => item !== list.children[i])) {
    const focused = document.activeElement;
    list.replaceChildren(...wanted);
    if (list.contains(focused)) focused.focus();
  }
  state.conversations.forEach((conversation, i) => fillItem(wanted[i], conversation));
  $('#no-conversations').hidden = state.conversations.length > 0;
  const unread = state.conversations.reduce((sum, c) => sum + c.unread, 0);
  document.title = unread ? `(${unread}) chatrel` : 'chatrel';
}

export function showInvitations(accept, decline) {
  $('#invitations').hidden = state.invitations.length === 0;
  $('#invitations ul').replaceChildren(...state.invitations.map((invitation) => element('li', {},
    element('span', {},
      element('strong', { textContent: invitation.name }), ` by ${nameOf(invitation.invited_by)}`),
    element('button', { textContent: 'Join', onclick: () => accept(invitation.group_id) }),
    element('button', {
      className: 'quiet', textContent: 'Decline', onclick: () => decline(invitation.group_id) }))));
}

export function showStatus() {
  $('#status').textContent = state.connected ? ''
    : 'Not connected. What you write is kept and sent when we are back.';
}

// ---------------------------------------------------------------- one message

// Links and mentions, and between them text.
function richText(text, mentions) {
  const names = (mentions ?? []).map((id) => `@${nameOf(id)}`);
  const escaped = names.map((name) => name.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'));
  const special = new RegExp(['https?://[^\\s<>"]+', ...escaped].join('|'), 'g');
  const parts = [];
  let end = 0;
  for (const { 0: found, index } of text.matchAll(special)) {
    parts.push(text.slice(end, index), found.startsWith('http')
      ? element('a', {
        href: found, textContent: found, target: '_blank', rel: 'noopener noreferrer' })
      : element('mark', { textContent: found }));
    end = index + found.length;
  }
  return [...parts, text.slice(end)];
}

function quoteOf(message, jump) {
  const quoted = state.open.messages.get(message.reply_to_id);
  const quote = { hidden: false, onclick: () => jump(message.reply_to_id) };
  if (!quoted) return { ...quote, textContent: '↪ an earlier message' };
  const said = `${nameOf(quoted.sender_id)}: ${quoted.message ?? 'deleted'}`;
  return { ...quote, textContent: `↪ ${said}` };
}

function reactionButtons(message, actions) {
  return Object.entries(message.reactions ?? {}).map(([reaction, count]) => {
    const mine = (message.my_reactions ?? []).includes(reaction);
    const button = element('button', {
      textContent: `${reaction} ${count}`, ariaPressed: String(mine),
      onclick: () => actions.react(message, reaction, !mine) });
    button.setAttribute('aria-label', `${reaction}, ${count}`);
    return button;
  });
}

function actionButtons(message, actions) {
  const button = (label, onclick, text = label) => {
    const made = element('button', { textContent: text, onclick });
    made.setAttribute('aria-label', label);
    return made;
  };
  const own = message.sender_id === state.me;
  return [
    ...['👍', '❤️', '😂', '🎉'].map((reaction) =>
      button(`React with ${reaction}`, () => actions.react(message, reaction, true), reaction)),
    button('Reply', () => actions.reply(message)),
    ...(own ? [button('Edit', () => actions.edit(message)),
      button('Delete', () => actions.delete(message))] : []),
  ];
}

function messageItem(message, actions) {
  const item = $('#message-template').content.firstElementChild.cloneNode(true);
  const own = message.sender_id === state.me;
  item.dataset.id = message.id;
  item.classList.toggle('own', own);
  item.classList.toggle('addressed', message.mentions?.includes(state.me) ?? false);
  $('.author', item).textContent = own ? 'You' : nameOf(message.sender_id);
  $('time', item).textContent = timeOf(message.datetime);
  $('time', item).dateTime = message.datetime;
  $('.edited', item).hidden = !message.edited_at || message.message === null;
  if (message.reply_to_id) Object.assign($('.quote', item), quoteOf(message, actions.jump));
  if (message.message === null) {
    item.classList.add('deleted');
    $('.text', item).textContent = 'This message was deleted.';
  } else if (state.blocked.has(message.sender_id)) {
    item.classList.add('deleted');
    $('.text', item).textContent = 'From somebody whom you have blocked.';
  } else {
    $('.text', item).append(...richText(message.message, message.mentions));
    $('.reactions', item).append(...reactionButtons(message, actions));
    $('.actions', item).append(...actionButtons(message, actions));
  }
  return item;
}

function pendingItem(message, actions) {
  const item = $('#message-template').content.firstElementChild.cloneNode(true);
  item.classList.add('own', message.error ? 'failed' : 'pending');
  $('.author', item).textContent = 'You';
  $('time', item).textContent = message.error ? `not sent: ${message.error}` : 'sending …';
  $('.text', item).textContent = message.text;
  if (message.error) {
    $('.reactions', item).append(
      element('button', { textContent: 'Remove', onclick: () => actions.drop(message.key) }));
  }
  return item;
}

// ---------------------------------------------------------------- the messages

const scroller = () => $('#scroller');
const isAtBottom = () => {
  const { scrollHeight, scrollTop, clientHeight } = scroller();
  return scrollHeight - scrollTop - clientHeight < 60;
};

// Does something to the messages; who looks at the end goes on looking at the end, and who
// looks at something else goes on looking at that.
function keepingPlace(change, toEnd) {
  const stay = toEnd || (isAtBottom() && state.open?.atEnd);
  const anchor = [...$('#messages').children].find((item) =>
    item.getBoundingClientRect().bottom > scroller().getBoundingClientRect().top);
  const before = anchor?.getBoundingClientRect().top;
  change();
  const after = anchor && $(`[data-id="${anchor.dataset.id}"]`, $('#messages'));
  if (stay) scroller().scrollTop = scroller().scrollHeight;
  else if (after) scroller().scrollTop += after.getBoundingClientRect().top - before;
}

function showPending(actions) {
  const list = $('#messages');
  list.querySelectorAll('.pending, .failed').forEach((item) => item.remove());
  const own = pending.filter(({ group }) => group === state.open?.id);
  list.append(...own.map((message) => pendingItem(message, actions)));
}

function showAll(actions) {
  const messages = [...(state.open?.messages.values() ?? [])].sort((a, b) => a.id - b.id);
  const focused = document.activeElement?.closest?.('.message')?.dataset.id;
  $('#messages').replaceChildren(...messages.map((message) => messageItem(message, actions)));
  showPending(actions);
  if (focused) $(`#messages [data-id="${focused}"]`)?.focus({ preventScroll: true });
}

// Puts one message in its place, or in the place of what it was.
function showOne(id, actions) {
  const list = $('#messages');
  const message = state.open?.messages.get(id);
  if (!message) return;
  const item = messageItem(message, actions);
  const old = $(`[data-id="${id}"]`, list);
  if (old) {
    const hadFocus = old.contains(document.activeElement);
    old.replaceWith(item);
    if (hadFocus) item.focus({ preventScroll: true });
  } else {
    let after = list.lastElementChild;
    while (after && !(Number(after.dataset.id) < id)) after = after.previousElementSibling;
    if (after) after.after(item);
    else list.prepend(item);
  }
}

export function showMessages(what, actions) {
  keepingPlace(() => {
    if (what.messages) showAll(actions);
    if (what.message) showOne(what.message, actions);
    if (what.message || what.pending) showPending(actions);
  }, what.toEnd);
  $('#newest').hidden = !state.open || state.open.atEnd || state.open.messages.size === 0;
  if (what.focus) {
    const item = $(`#messages [data-id="${what.focus}"]`);
    item?.scrollIntoView({ block: 'center' });
    item?.focus({ preventScroll: true });
  }
}

export function watchEdges() {
  const look = () => {
    const { scrollHeight, scrollTop, clientHeight } = scroller();
    if (scrollTop < 200) readMore('older');
    if (scrollHeight - scrollTop - clientHeight < 200) readMore('newer');
  };
  scroller().addEventListener('scroll', look);
}

export function showHeader() {
  const { open } = state;
  document.body.classList.toggle('has-open', open !== null);
  const conversation = open && conversationOf(open.id);
  if (!conversation) return;
  const { document: group } = conversation;
  const isDirect = group.visibility === 'direct';
  const count = group.member_count ?? group.members.length;
  const online = onlineIn(conversation);
  const members = `${count} ${count === 1 ? 'member' : 'members'}`;
  $('#title').textContent = titleOf(conversation);
  $('#subtitle').textContent = (isDirect ? ['Direct conversation'] : [group.description, members])
    .filter(Boolean).join(' · ');
  $('#online').textContent = listOf(online.map(({ username }) => username), 'online');
  $('#open-invite').hidden = isDirect;
  $('#leave').hidden = isDirect;
}

export function showRequests(decide) {
  const requests = state.open?.requests ?? [];
  $('#requests').hidden = requests.length === 0;
  $('#requests').replaceChildren(...requests.map(({ user_id: user, username }) => element('li', {},
    `${username} asks to join `,
    element('button', { textContent: 'Let in', onclick: () => decide(user, true) }),
    element('button', {
      className: 'quiet', textContent: 'Refuse', onclick: () => decide(user, false) }))));
}

export function showTyping() {
  const now = Date.now();
  const users = [...(state.open?.typing ?? [])].filter(([, until]) => until > now)
    .map(([user]) => nameOf(user));
  $('#typing').textContent = listOf(users, 'typing …');
}
