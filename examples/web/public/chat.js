// The page: log-in, what the buttons and keys do, and what is shown when something changes.

import {
  call, closeConversation, dropPending, markRead, openConversation, readListSoon, send, start,
  state,
} from './state.js';
import { prepareDialogs } from './dialogs.js';
import {
  $, conversationOf, element, nameOf, showHeader, showInvitations, showList, showMessages,
  showRequests, showStatus, showTyping, toast, watchEdges,
} from './view.js';

const text = $('#text');
let about = null; // { reply: message } or { edit: message }

const attempt = (promise) => promise.catch((error) => toast(error.message));

// ---------------------------------------------------------------- what is done

const actions = {
  react: (message, reaction, on) =>
    attempt(call(on ? 'react' : 'unreact', message.group_id, message.id, reaction)),
  reply: (message) =>
    setAbout({ reply: message }, `Reply to ${nameOf(message.sender_id)}: ${message.message}`),
  edit: (message) => {
    setAbout({ edit: message }, 'Edit your message');
    text.value = message.message;
    grow();
  },
  delete: (message) => attempt(call('delete', message.group_id, message.id)),
  drop: dropPending,
  jump: async (id) => {
    const item = $(`#messages [data-id="${id}"]`);
    if (!item) return attempt(openConversation(state.open.id, id));
    item.scrollIntoView({ block: 'center' });
    return item.focus({ preventScroll: true });
  },
};

function setAbout(to, label = '') {
  if (about?.edit && !to?.edit) text.value = '';
  about = to;
  $('#about').hidden = !to;
  $('#about span').textContent = label;
  if (to) text.focus();
}

async function opened(id) {
  setAbout(null);
  await attempt(openConversation(id));
  if (state.open?.id !== id) return;
  if (!conversationOf(id)) readListSoon();
  text.focus();
}

// Members whose names the text has after an @; the longest name that fits
function mentionsIn(value) {
  const { members } = conversationOf(state.open.id)?.document ?? { members: [] };
  const found = [];
  for (const [, after] of value.matchAll(/@(?=(.*))/g)) {
    const fits = members.filter(({ username }) => after.startsWith(username))
      .sort((a, b) => b.username.length - a.username.length);
    if (fits.length > 0) found.push(fits[0].id);
  }
  return found.length > 0 ? found : null;
}

function submit() {
  const value = text.value.trim();
  if (!value || !state.open) return;
  if (about?.edit) attempt(call('edit', about.edit.group_id, about.edit.id, value));
  else send(state.open.id, value, about?.reply?.id ?? null, mentionsIn(value));
  text.value = '';
  setAbout(null);
  grow();
}

function grow() {
  text.rows = Math.min(6, text.value.split('\n').length);
}

// ---------------------------------------------------------------- names after an @

const suggestions = $('#suggestions');

function suggest() {
  const typed = /@([^\s@]*)$/.exec(text.value.slice(0, text.selectionStart))?.[1];
  const { members } = (state.open && conversationOf(state.open.id)?.document) ?? { members: [] };
  const fits = typed === undefined ? [] : members.filter(({ id, username }) =>
    id !== state.me && username.toLowerCase().startsWith(typed.toLowerCase())).slice(0, 6);
  suggestions.replaceChildren(...fits.map(({ username }, i) => {
    const option = element('li', { textContent: username, role: 'option', id: `suggestion-${i}` });
    option.onmousedown = (event) => { event.preventDefault(); take(username); };
    return option;
  }));
  suggestions.hidden = fits.length === 0;
  select(0);
}

function select(index) {
  const options = [...suggestions.children];
  options.forEach((option, i) => { option.ariaSelected = String(i === index); });
  if (options[index]) text.setAttribute('aria-activedescendant', options[index].id);
  else text.removeAttribute('aria-activedescendant');
}

function take(username) {
  const before = text.value.slice(0, text.selectionStart).replace(/@[^\s@]*$/, `@${username} `);
  text.value = before + text.value.slice(text.selectionStart);
  text.setSelectionRange(before.length, before.length);
  suggest();
}

function suggestionKey(event) {
  const options = [...suggestions.children];
  const at = options.findIndex((option) => option.ariaSelected === 'true');
  if (suggestions.hidden || event.isComposing) return false;
  if (event.key === 'ArrowDown') select((at + 1) % options.length);
  else if (event.key === 'ArrowUp') select((at + options.length - 1) % options.length);
  else if (event.key === 'Enter' || event.key === 'Tab') take(options[at].textContent);
  else if (event.key === 'Escape') suggestions.hidden = true;
  else return false;
  event.preventDefault();
  return true;
}

// ---------------------------------------------------------------- keys

text.onkeydown = (event) => {
  if (suggestionKey(event) || event.isComposing) return;
  if (event.key === 'Enter' && !event.shiftKey) {
    event.preventDefault();
    submit();
  } else if (event.key === 'Escape' && about) {
    setAbout(null);
  } else if (event.key === 'ArrowUp' && text.value === '') {
    event.preventDefault();
    $('#messages').lastElementChild?.focus();
  }
};
text.oninput = () => { grow(); suggest(); };
$('#composer').onsubmit = (event) => { event.preventDefault(); submit(); };
$('#about button').onclick = () => setAbout(null);

// Up and down among the messages; Tab goes to what can be done with one, Escape back to writing.
$('#messages').onkeydown = (event) => {
  const item = event.target.closest('.message');
  const next = {
    ArrowUp: item?.previousElementSibling,
    ArrowDown: item?.nextElementSibling ?? text,
  };
  if (event.key === 'Escape') text.focus();
  else if (next[event.key]) next[event.key].focus();
  else return;
  event.preventDefault();
};

// ---------------------------------------------------------------- what has changed

function show(what) {
  if (what.status) showStatus();
  if (what.list) {
    showList(opened);
    showInvitations(
      async (id) => { await attempt(call('join', id)); await opened(id); },
      async (id) => { await attempt(call('decline', id)); readListSoon(); });
  }
  if (what.list || what.messages) showHeader();
  if (what.messages || what.message || what.pending) showMessages(what, actions);
  if (what.messages || what.requests) {
    showRequests((user, accept) => attempt(call('decide', state.open.id, user, accept))
      .then(() => openConversation(state.open.id)));
  }
  if (what.messages || what.message || what.typing) showTyping();
  if (what.toast) toast(what.toast);
}

$('#back').onclick = () => {
  const { id } = state.open;
  closeConversation();
  show({ list: true, messages: true });
  $(`[data-group="${id}"]`)?.focus();
};
$('#newest').onclick = () => opened(state.open.id);
$('#leave').onclick = () => attempt(call('leave', state.open.id));
document.addEventListener('visibilitychange', () => { markRead(); readListSoon(); });

// ---------------------------------------------------------------- log-in

function showLogIn() {
  $('#chat').hidden = true;
  $('#login').hidden = false;
  $('#login-name').focus();
}

$('#login-form').onsubmit = async (event) => {
  event.preventDefault();
  const body = JSON.stringify({ username: $('#login-name').value });
  const answer = await fetch('/login', { method: 'POST', body }).catch(() => null);
  if (answer?.ok) location.reload();
  const { message } = (await answer?.json().catch(() => null)) ?? {};
  if (!answer?.ok) $('#login .error').textContent = message ?? 'The chat cannot be reached.';
};

$('#logout').onclick = async () => {
  await fetch('/logout', { method: 'POST' });
  location.reload();
};

const session = await fetch('/session');
if (session.ok) {
  const { id, username } = await session.json();
  $('#who').textContent = username;
  state.names.set(id, username);
  $('#chat').hidden = false;
  prepareDialogs(opened, actions);
  watchEdges();
  start(id, show, () => location.reload());
} else {
  showLogIn();
}
