// The pictures of the chat in doc/: node screenshots.mjs FOLDER, with the environment of the gateway
// and the people and groups of examples/web/demo.sql.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { startBrowser } from './browser.mjs';
import { killGateway, startGateway } from './gateway.mjs';

const folder = process.argv[2];
const gateway = await startGateway();
const browser = await startBrowser();

async function save(person, name) {
  writeFileSync(join(folder, name), await person.screenshot());
  console.log(join(folder, name));
}

try {
  const ann = await browser.person(gateway.address, 900, 600);
  const ben = await browser.person(gateway.address, 360, 640);
  const cleo = await browser.person(gateway.address, 900, 600);
  await ann.logIn('ann');
  await ben.logIn('ben');
  await cleo.logIn('cleo');

  await cleo.open('Walks');
  await cleo.say('The forecast says sun from eleven: https://weather.example/sunday');
  await ben.click('#open-people');
  await ben.click('#people li', 'ann');
  await ben.click('#people button[aria-label="Message ann"]');
  await ben.sees('#title', 'ann');
  await ben.say('Do you still have my umbrella?');
  await ben.say('The green one');
  await ann.sees('#conversations .badge', '2');
  await ann.open('Walks');
  await ann.sees('#messages .text', 'sun from eleven');
  await ann.say('Then at noon, at the fountain.');
  await ann.sees('#messages .message[data-id] .text', 'at the fountain');
  await cleo.sees('#messages .text', 'at the fountain');
  await cleo.evaluate(() => [...document.querySelectorAll('.message')].at(-1)
    .querySelector('[aria-label="React with 🎉"]').click());
  await ann.sees('.reactions', '🎉 1');
  await ann.sees('#conversations .preview', 'You: Then at noon');
  await save(ann, 'web-chat.png');

  await ben.click('#back');
  await ben.open('Walks');
  await ben.sees('.reactions', '🎉 1');
  await ben.dark(true);
  await save(ben, 'web-phone.png');
} finally {
  await browser.end();
  await killGateway(gateway);
}
