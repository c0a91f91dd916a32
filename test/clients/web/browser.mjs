// Drives a headless chromium by its DevTools protocol: people with a page each, who type and click.

import { spawn } from 'node:child_process';
import { createRequire } from 'node:module';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const { WebSocket } = createRequire(new URL('../../../examples/web/', import.meta.url))('ws');
const PATIENCE_MS = Number(process.env.PATIENCE_MS ?? 60000);

export const pause = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });

// Asks until the answer is true, and returns it.
export async function until(what, condition, ms = PATIENCE_MS) {
  const deadline = Date.now() + ms;
  for (;;) {
    const answer = await condition();
    if (answer) return answer;
    if (Date.now() > deadline) throw new Error(`this did not happen: ${what}`);
    await pause(20);
  }
}

export async function startBrowser() {
  const profile = mkdtempSync(join(tmpdir(), 'chromium-'));
  const chromium = spawn('chromium-headless-shell', [
    '--remote-debugging-port=0', `--user-data-dir=${profile}`, '--no-sandbox', '--disable-gpu',
    '--disable-dev-shm-usage', '--lang=en-GB', 'about:blank'], { stdio: ['ignore', 'ignore', 'pipe'] });
  process.on('exit', () => chromium.kill('SIGKILL'));
  let said = '';
  chromium.stderr.on('data', (data) => { said += data; });
  const address = await until('chromium listens', () => {
    if (chromium.exitCode !== null) throw new Error(`chromium has ended: ${said}`);
    return /DevTools listening on (ws:\S+)/.exec(said)?.[1];
  });
  const socket = new WebSocket(address, { perMessageDeflate: false });
  await new Promise((resolve, reject) => { socket.on('open', resolve).on('error', reject); });
  return new Browser(socket, chromium, profile);
}

class Browser {
  #nextId = 1;
  #waiting = new Map();

  people = [];

  constructor(socket, chromium, profile) {
    Object.assign(this, { socket, chromium, profile });
    socket.on('message', (data) => {
      const { id, result, error } = JSON.parse(data);
      const waiting = this.#waiting.get(id);
      this.#waiting.delete(id);
      if (error) waiting?.reject(new Error(error.message));
      else waiting?.resolve(result);
    });
  }

  send(method, params = {}, sessionId = undefined) {
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.socket.send(JSON.stringify({ id, method, params, sessionId }));
    });
  }

  // A person has cookies of its own.
  async person(address, width = 1000, height = 700) {
    const { browserContextId } = await this.send('Target.createBrowserContext');
    const { targetId } = await this.send('Target.createTarget', {
      url: 'about:blank', browserContextId });
    const { sessionId } = await this.send('Target.attachToTarget', { targetId, flatten: true });
    const person = new Person(this, sessionId);
    this.people.push(person);
    await person.resize(width, height);
    await person.send('Page.enable');
    await person.send('Page.navigate', { url: address });
    await person.sees('#login:not([hidden]), #chat:not([hidden])');
    return person;
  }

  async end() {
    const ended = new Promise((resolve) => { this.chromium.on('exit', resolve); });
    this.send('Browser.close').catch(() => {});
    await Promise.race([ended, pause(5000)]);
    this.chromium.kill('SIGKILL');
    rmSync(this.profile, { recursive: true, force: true, maxRetries: 5 });
  }
}

const keys = { Enter: '\r', Tab: '', Escape: '', ArrowUp: '', ArrowDown: '', Backspace: '' };
const codes = { Enter: 13, Tab: 9, Escape: 27, ArrowUp: 38, ArrowDown: 40, Backspace: 8 };

class Person {
  constructor(browser, session) {
    Object.assign(this, { browser, session });
  }

  send(method, params) {
    return this.browser.send(method, params, this.session);
  }

  resize(width, height, mobile = false) {
    return this.send('Emulation.setDeviceMetricsOverride', {
      width, height, mobile, deviceScaleFactor: 1 });
  }

  dark(on) {
    return this.send('Emulation.setEmulatedMedia', {
      features: [{ name: 'prefers-color-scheme', value: on ? 'dark' : 'light' }] });
  }

  // The value of an expression in the page; of a function with arguments, what it returns.
  async evaluate(expression, ...args) {
    const text = typeof expression === 'function'
      ? `(${expression})(${args.map((arg) => JSON.stringify(arg)).join(', ')})` : expression;
    const { result, exceptionDetails } = await this.send('Runtime.evaluate', {
      expression: text, awaitPromise: true, returnByValue: true });
    if (exceptionDetails) {
      throw new Error(`${exceptionDetails.exception?.description ?? exceptionDetails.text} in ${text}`);
    }
    return result.value;
  }

  // Waits for an element, one with such a text if it is given.
  sees(selector, text = null) {
    return until(`${selector} ${text ?? ''} is seen`, () => this.evaluate((wanted, contains) =>
      [...document.querySelectorAll(wanted)].some((found) =>
        found.checkVisibility() && (contains === null || found.textContent.includes(contains))),
    selector, text).catch(() => false));
  }

  gone(selector, text = null) {
    return until(`${selector} ${text ?? ''} is gone`, () => this.evaluate((wanted, contains) =>
      ![...document.querySelectorAll(wanted)].some((found) =>
        found.checkVisibility() && (contains === null || found.textContent.includes(contains))),
    selector, text));
  }

  // Clicks where a person would, in the middle of it.
  async click(selector, text = null) {
    await this.sees(selector, text);
    const { x, y } = await this.evaluate((wanted, contains) => {
      const found = [...document.querySelectorAll(wanted)].find((one) =>
        one.checkVisibility() && (contains === null || one.textContent.includes(contains)));
      found.scrollIntoView({ block: 'nearest' });
      const box = found.getBoundingClientRect();
      return { x: box.x + box.width / 2, y: box.y + box.height / 2 };
    }, selector, text);
    const at = { x, y, button: 'left', clickCount: 1 };
    await this.send('Input.dispatchMouseEvent', { ...at, type: 'mouseMoved', button: 'none' });
    await this.send('Input.dispatchMouseEvent', { ...at, type: 'mousePressed' });
    await this.send('Input.dispatchMouseEvent', { ...at, type: 'mouseReleased' });
  }

  type(text) {
    return this.send('Input.insertText', { text });
  }

  async press(key, modifiers = 0) {
    const event = { key, code: key, windowsVirtualKeyCode: codes[key], modifiers };
    const text = keys[key];
    await this.send('Input.dispatchKeyEvent', { ...event, type: text ? 'keyDown' : 'rawKeyDown', text });
    await this.send('Input.dispatchKeyEvent', { ...event, type: 'keyUp' });
  }

  async logIn(name) {
    await this.sees('#login-name');
    await this.evaluate(() => document.querySelector('#login-name').focus());
    await this.type(name);
    await this.press('Enter');
    await this.sees('#who', name);
  }

  async open(title) {
    await this.click('#conversations .name', title);
    await this.sees('#title', title);
  }

  async say(text) {
    await this.evaluate(() => document.querySelector('#text').focus());
    await this.type(text);
    await this.press('Enter');
  }

  // The texts that are shown, in their order
  texts() {
    return this.evaluate(() => [...document.querySelectorAll('#messages .message .text')]
      .map((text) => text.textContent));
  }

  async screenshot() {
    const { data } = await this.send('Page.captureScreenshot', { format: 'png' });
    return Buffer.from(data, 'base64');
  }
}
