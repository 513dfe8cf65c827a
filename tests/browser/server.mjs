// The real server on a free port, with an embedded database and its mails in a temporary directory.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const freePort = async () => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
};

/** Looks again until there is something, within a generous bound. */
export const eventually = async (what, look) => {
  for (let tries = 0; tries < 600; tries += 1) {
    const found = await look();
    if (found) return found;
    await sleep(100);
  }
  throw new Error(`${what} did not happen`);
};

/** The text of a mail: quoted-printable, in a multipart message. */
const parse = (raw) => {
  const [head] = raw.split(/\r?\n\r?\n/, 1);
  const to = /^To: .*?([^\s<>]+@[^\s<>]+)>?\s*$/im.exec(head)?.[1];
  const part = raw.slice(raw.search(/^Content-Type: text\/plain/im)).split(/\r?\n\r?\n/).slice(1).join('\n\n');
  const text = part
    .split(/\r?\n--/, 1)[0]
    .replace(/=\r?\n/g, '')
    .replace(/=([0-9A-F]{2})/g, (_, hex) => String.fromCharCode(parseInt(hex, 16)));
  return { to, text, link: /https?:\/\/\S+/.exec(text)?.[0], code: /^\s*(\d{6})\s*$/m.exec(text)?.[1] };
};

export const startServer = async (settings = {}) => {
  const home = mkdtempSync(join(tmpdir(), 'mintage-browser-'));
  // Started by root, the database runs as another user, who has to get to its directory.
  chmodSync(home, 0o755);
  const mails = join(home, 'mails');
  const port = await freePort();
  const base = `http://127.0.0.1:${port}`;
  const child = spawn(process.env.MINTAGE, ['serve'], {
    cwd: home,
    env: {
      PATH: process.env.PATH,
      HOME: process.env.HOME ?? '/',
      DATA_DIR: join(home, 'data'),
      BIND: `127.0.0.1:${port}`,
      MAIL_TRANSPORT: 'file',
      MAIL_DIR: mails,
      REQUIRE_CONFIRMATION: 'on',
      BCRYPT_COST: '4',
      ...settings,
    },
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  const exited = once(child, 'exit');
  await eventually('the start of the server', async () => {
    if (child.exitCode !== null) throw new Error('the server has stopped');
    return fetch(`${base}/readyz`).then((answer) => answer.ok, () => false);
  });

  const read = new Set();
  return {
    base,
    post: (path, body) =>
      fetch(`${base}/api/v1${path}`, {
        method: 'POST',
        headers: { 'Content-Type': 'application/json' },
        body: JSON.stringify(body),
      }),
    /** The next mail to this address that was not read yet. */
    mailTo: (address) =>
      eventually(`a mail to ${address}`, () => {
        let names = [];
        try {
          names = readdirSync(mails).filter((name) => name.endsWith('.eml')).sort();
        } catch {
          return undefined;
        }
        for (const name of names.filter((one) => !read.has(one))) {
          const mail = parse(readFileSync(join(mails, name), 'utf8'));
          if (mail.to === address) {
            read.add(name);
            return mail;
          }
        }
        return undefined;
      }),
    stop: async () => {
      child.kill('SIGTERM');
      await exited;
      rmSync(home, { recursive: true, force: true });
    },
  };
};
