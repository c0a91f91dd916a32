// The WebSocket to the gateway: calls with their answers, and what the gateway sends by itself.
//
// A call waits until it is answered, whatever happens to the connection: it is sent again over
// the next one, and when the gateway says that the database is away.  That is right because a
// call does nothing the second time; a message that is sent has a key for that.  Who calls for
// what would be done twice is told instead that it may have been done.

const RETRY_FIRST_MS = 300;
const RETRY_LONGEST_MS = 5000;
const ANSWER_WITHIN_MS = 20000; // then the connection is taken for lost
const NOT_TWICE = ['create_group'];

export class Refused extends Error {
  constructor({ message, ...details }) {
    super(message);
    Object.assign(this, details);
  }
}

export class Connection {
  #socket = null;
  #nextId = 1;
  #waiting = new Map(); // id -> { name, text, resolve, reject }, in the order of the calls
  #retryMs = RETRY_FIRST_MS;
  #closed = false;

  // opened(): also after an interruption; told(object): what comes unasked; lost(): it is
  // interrupted; loggedOut(): there is no session any more
  constructor({ opened, told, lost, loggedOut }) {
    Object.assign(this, { opened, told, lost, loggedOut });
    this.#connect();
  }

  call(name, ...args) {
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, {
        name, text: JSON.stringify({ id, call: name, args }), resolve, reject,
        retryMs: RETRY_FIRST_MS });
      this.#send(id);
    });
  }

  close() {
    this.#closed = true;
    this.#socket?.close();
  }

  #send(id) {
    const call = this.#waiting.get(id);
    if (!call || this.#socket?.readyState !== WebSocket.OPEN) return;
    clearTimeout(call.deadline);
    if (call.deadline && NOT_TWICE.includes(call.name)) { // it was sent before
      this.#waiting.delete(id);
      call.reject(new Refused({ message: 'The connection was lost: look whether it was done.' }));
      return;
    }
    const socket = this.#socket;
    socket.send(call.text);
    call.deadline = setTimeout(() => {
      if (this.#waiting.has(id) && socket === this.#socket) this.#forget(socket);
    }, ANSWER_WITHIN_MS);
  }

  #connect() {
    const socket = new WebSocket(`${location.origin.replace('http', 'ws')}/socket`);
    this.#socket = socket;
    socket.onopen = () => {
      this.#retryMs = RETRY_FIRST_MS;
      for (const id of this.#waiting.keys()) this.#send(id);
      this.opened();
    };
    socket.onmessage = ({ data }) => this.#receive(JSON.parse(data));
    socket.onclose = () => this.#forget(socket);
  }

  // One that hangs does not even close: nobody waits for that.
  #forget(socket) {
    if (socket !== this.#socket) return;
    this.#socket = null;
    socket.onmessage = null;
    socket.close();
    if (this.#closed) return;
    this.lost();
    setTimeout(() => this.#again(), this.#retryMs * (0.5 + Math.random() / 2));
    this.#retryMs = Math.min(2 * this.#retryMs, RETRY_LONGEST_MS);
  }

  // A WebSocket does not say why it was refused.
  async #again() {
    const session = await fetch('/session').catch(() => null);
    if (this.#closed) return;
    if (session?.status === 401) this.loggedOut();
    else this.#connect();
  }

  #receive({ id, value, error, ...unasked }) {
    const call = this.#waiting.get(id);
    if (id === undefined) {
      this.told(unasked);
    } else if (call && error?.retry) {
      clearTimeout(call.deadline);
      setTimeout(() => this.#send(id), call.retryMs);
      call.retryMs = Math.min(2 * call.retryMs, RETRY_LONGEST_MS);
    } else if (call) {
      clearTimeout(call.deadline);
      this.#waiting.delete(id);
      if (error) call.reject(new Refused(error));
      else call.resolve(value);
    }
  }
}
