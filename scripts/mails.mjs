// Reads the mails that MAIL_TRANSPORT=file has written, for the browser and Postman tests.
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** Repeats `look` until it returns something, for at most a minute. */
export const eventually = async (what, look) => {
  for (let tries = 0; tries < 600; tries += 1) {
    const found = await look();
    if (found) return found;
    await sleep(100);
  }
  throw new Error(`${what} did not happen`);
};

/** Parses a mail: decodes the quoted-printable text part and finds its link and code. */
const parse = (raw) => {
  const [head] = raw.split(/\r?\n\r?\n/, 1);
  const to = /^To: .*?([^\s<>]+@[^\s<>]+)>?\s*$/im.exec(head)?.[1];
  const part = raw.slice(raw.search(/^Content-Type: text\/plain/im)).split(/\r?\n\r?\n/).slice(1).join('\n\n');
  const text = part
    .split(/\r?\n--/, 1)[0]
    .replace(/=\r?\n/g, '')
    .replace(/=([0-9A-F]{2})/g, (_, hex) => String.fromCharCode(parseInt(hex, 16)));
  const link = /https?:\/\/\S+/.exec(text)?.[0];
  return { to, text, link, token: link?.split('#token=')[1], code: /^\s*(\d{6}|[0-9A-Z]{8})\s*$/m.exec(text)?.[1] };
};

/** The files of the mails in a directory, the oldest first; none before the first mail. */
const filesIn = (directory) => {
  try {
    return readdirSync(directory).filter((name) => name.endsWith('.eml')).sort();
  } catch {
    return [];
  }
};

/** All mails in a directory, the newest first. */
export const mailsIn = (directory) =>
  filesIn(directory)
    .reverse()
    .map((name) => ({ id: name, ...parse(readFileSync(join(directory, name), 'utf8')) }));

/** Reads the mails in a directory. Each is returned once. */
export const mailbox = (directory) => {
  const read = new Set();
  return {
    /** Waits for the next unread mail to this address for which `isWanted` holds. */
    next: (address, isWanted = () => true) =>
      eventually(`a mail to ${address}`, () => {
        for (const name of filesIn(directory).filter((one) => !read.has(one))) {
          const mail = parse(readFileSync(join(directory, name), 'utf8'));
          if (mail.to === address && isWanted(mail)) {
            read.add(name);
            return mail;
          }
        }
        return undefined;
      }),
  };
};
