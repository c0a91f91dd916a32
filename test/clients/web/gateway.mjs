// Starts the gateway of examples/web, and ends it.

import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { until } from './browser.mjs';

const program = fileURLToPath(new URL('../../../examples/web/gateway.mjs', import.meta.url));

export async function startGateway() {
  const gateway = spawn('node', [program], { stdio: ['ignore', 'pipe', 'pipe'] });
  process.on('exit', () => gateway.kill('SIGKILL'));
  gateway.said = '';
  for (const stream of [gateway.stdout, gateway.stderr]) {
    stream.on('data', (data) => { gateway.said += data; });
  }
  gateway.address = await until('the gateway listens', () => {
    if (gateway.exitCode !== null) throw new Error(`the gateway has ended: ${gateway.said}`);
    return /listening on (http:\S+)/.exec(gateway.said)?.[1];
  });
  return gateway;
}

export function killGateway(gateway) {
  const ended = new Promise((resolve) => { gateway.on('exit', resolve); });
  gateway.kill('SIGKILL');
  return ended;
}
