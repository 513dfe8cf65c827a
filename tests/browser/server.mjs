// The real server on a free port, with an embedded database and its mails in a temporary directory.
import { execFile, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

import { eventually, mailbox } from '../../scripts/mails.mjs';

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
  const mails = join(home, 'mails');
  const port = await freePort();
  const base = `http://127.0.0.1:${port}`;
  const env = {
    PATH: process.env.PATH,
    HOME: process.env.HOME ?? '/',
    DATA_DIR: join(home, 'data'),
    BIND: `127.0.0.1:${port}`,
    MAIL_TRANSPORT: 'file',
    MAIL_DIR: mails,
    REQUIRE_CONFIRMATION: 'on',
    BCRYPT_COST: '4',
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
    /** The next mail to this address that was not read yet. */
    mailTo: mailbox(mails).next,
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
