// The dialogs: the directory of groups, people, a new group.

import { call, readListSoon, state } from './state.js';
import { $, conversationOf, element, showMessages, toast } from './view.js';

const refused = (error) => toast(error.message);

// ---------------------------------------------------------------- groups

function groupItem(group, opened) {
  const isMember = conversationOf(group.id) !== undefined;
  const button = element('button', {
    textContent: isMember ? 'Open' : group.join_policy === 'open' ? 'Join' : 'Ask to join' });
  button.onclick = async () => {
    try {
      if (!isMember && group.join_policy !== 'open') {
        await call('request', group.id);
        toast(`You have asked to join ${group.name}.`);
        button.disabled = true;
        return;
      }
      if (!isMember) await call('join', group.id);
      $('#directory').close();
      opened(group.id);
    } catch (error) {
      refused(error);
    }
  };
  button.setAttribute('aria-label', `${button.textContent} ${group.name}`);
  return element('li', {},
    element('span', {}, element('strong', { textContent: group.name }),
      element('small', {
        textContent: ` ${group.member_count} ${group.member_count === 1 ? 'member' : 'members'}` }),
      element('br'), group.description ?? ''),
    button);
}

function prepareDirectory(opened) {
  const dialog = $('#directory');
  let last = null;
  let newest = 0;
  async function list(more) {
    const mine = ++newest;
    const query = $('input', dialog).value.trim() || null;
    const groups = await call('find_groups', query, more ? last : null);
    if (mine !== newest) return; // something else was typed meanwhile
    last = groups.at(-1)?.id ?? null;
    const items = groups.map((group) => groupItem(group, opened));
    if (more) $('ul', dialog).append(...items);
    else $('ul', dialog).replaceChildren(...items);
    $('.more', dialog).hidden = groups.length < 30;
  }
  $('#open-directory').onclick = () => {
    dialog.showModal();
    list(false).catch(refused);
  };
  $('input', dialog).oninput = () => list(false).catch(refused);
  $('.more', dialog).onclick = () => list(true).catch(refused);
}

// ---------------------------------------------------------------- people

let group = null; // the group to invite to, or null where people are looked up

async function toggle(button, on, off, user) {
  const isOn = button.ariaPressed === 'true';
  try {
    await call(isOn ? off : on, user);
    button.ariaPressed = String(!isOn);
  } catch (error) {
    refused(error);
  }
}

function personItem(person, opened) {
  const said = (label, properties) => {
    const button = element('button', { textContent: label, ...properties });
    button.setAttribute('aria-label', `${label} ${person.username}`);
    return button;
  };
  const invite = said('Invite', { className: 'invite' });
  invite.onclick = async () => {
    try {
      await call('invite', group, [person.id]);
      invite.textContent = 'Invited';
      invite.disabled = true;
    } catch (error) {
      refused(error);
    }
  };
  const message = said('Message');
  message.onclick = async () => {
    try {
      const { id } = await call('direct', [person.id]);
      $('#people').close();
      opened(id);
    } catch (error) {
      refused(error);
    }
  };
  const follow = said('Follow', { ariaPressed: String(person.following) });
  follow.onclick = () => toggle(follow, 'follow', 'unfollow', person.id);
  const block = said('Block', { ariaPressed: String(person.blocked) });
  block.onclick = async () => {
    await toggle(block, 'block', 'unblock', person.id);
    if (block.ariaPressed === 'true') {
      state.blocked.add(person.id);
      follow.ariaPressed = 'false'; // a block ends it
    } else {
      state.blocked.delete(person.id);
    }
    blockedChanged();
  };
  const about = person.followed_by ? element('small', { textContent: ' follows you' }) : '';
  return element('li', {},
    element('span', {}, element('strong', { textContent: person.username }), about),
    ...(group ? [invite] : [message, follow, block]));
}

let blockedChanged = () => {};

function preparePeople(opened) {
  const dialog = $('#people');
  let newest = 0;
  async function list() {
    const mine = ++newest;
    const people = await call('people', $('input', dialog).value.trim());
    if (mine !== newest) return;
    $('ul', dialog).replaceChildren(...people.map((person) => personItem(person, opened)));
  }
  function open(of) {
    group = of;
    $('#people-title').textContent = of
      ? `Invite to ${conversationOf(of).document.name}` : 'People';
    $('input', dialog).value = '';
    $('ul', dialog).replaceChildren();
    dialog.showModal();
    list().catch(refused);
  }
  $('#open-people').onclick = () => open(null);
  $('#open-invite').onclick = () => open(state.open.id);
  $('input', dialog).oninput = () => list().catch(refused);
}

// ---------------------------------------------------------------- a new group

function prepareNewGroup(opened) {
  const dialog = $('#new-group');
  const form = $('.fields', dialog);
  $('#open-new-group').onclick = () => {
    form.reset();
    $('.error', form).textContent = '';
    dialog.showModal();
    form.elements.name.focus();
  };
  form.onsubmit = async (submit) => {
    submit.preventDefault();
    const [visibility, policy] = form.elements.kind.value.split(' ');
    try {
      const name = form.elements.name.value.trim();
      const description = form.elements.description.value.trim() || null;
      const [{ id }] = await call('create_group', name, visibility, policy, description);
      dialog.close();
      opened(id);
      readListSoon();
    } catch (error) {
      $('.error', form).textContent = error.message;
    }
  };
}

export function prepareDialogs(opened, actions) {
  blockedChanged = () => showMessages({ messages: true }, actions);
  prepareDirectory(opened);
  preparePeople(opened);
  prepareNewGroup(opened);
}
