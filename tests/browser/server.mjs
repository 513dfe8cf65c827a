// The real server on a free port, with an embedded database in a temporary directory.
import { execFile, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

import { eventually } from '../../scripts/eventually.mjs';

const freePort = async () => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
};

export const startServer = async (settings = {}) => {
  const home = mkdtempSync(join(tmpdir(), 'mintage-browser-'));
  // Started by root, the database runs as another user, who has to get to its directory.
  chmodSync(home, 0o755);
  const port = await freePort();
  const base = `http://127.0.0.1:${port}`;
  const env = {
    PATH: process.env.PATH,
    HOME: process.env.HOME ?? '/',
    DATA_DIR: join(home, 'data'),
    BIND: `127.0.0.1:${port}`,
    REQUIRE_CONFIRMATION: 'on',
    BCRYPT_COST: '4',
    // Without a line for each request.
    LOG_LEVEL: 'info,mintage::http=warn',
    ...settings,
  };
  const options = {
    cwd: home,
    env,
    stdio: ['ignore', 'inherit', 'inherit'],
  };
  const child = spawn(process.env.MINTAGE, ['serve'], options);
  const exited = once(child, 'exit');
  await eventually('the start of the server', async () => {
    if (child.exitCode !== null) throw new Error('the server has stopped');
    return fetch(`${base}/readyz`).then((answer) => answer.ok, () => false);
  });

  const read = new Set();
  /** The oldest unread mail to this address for which `isWanted` holds. */
  const unread = async (address, isWanted) => {
    const answer = await fetch(`${base}/dev/mails?to=${encodeURIComponent(address)}`);
    const found = (await answer.json()).data.reverse().find((mail) => !read.has(mail.id) && isWanted(mail));
    if (found) read.add(found.id);
    return found;
  };

  return {
    base,
    post: (path, body, headers = {}) =>
      fetch(`${base}/api/v1${path}`, {
        method: 'POST',
        headers: { 'Content-Type': 'application/json', ...headers },
        body: JSON.stringify(body),
      }),
    /** Runs another command of the binary, on the same database. */
    run: (...args) => promisify(execFile)(process.env.MINTAGE, args, { cwd: home, env }),
    /** Waits for the next mail to this address that was not read yet. */
    mailTo: (address, isWanted = () => true) => eventually(`a mail to ${address}`, () => unread(address, isWanted)),
    createAdmin: (email, password) => {
      const created = spawnSync(process.env.MINTAGE, ['create-admin', '--email', email, '--password-stdin'], {
        ...options,
        input: password,
        stdio: 'pipe',
      });
      if (created.status !== 0) throw new Error(created.stderr.toString());
    },
    stop: async () => {
      child.kill('SIGTERM');
      await exited;
      rmSync(home, { recursive: true, force: true });
    },
  };
};
