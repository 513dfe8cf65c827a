// Serves the mails in a directory as `GET /dev/mails?to=ADDRESS` of a development server does: as JSON, the newest first.
import { once } from 'node:events';
import { createServer } from 'node:http';

import { mailsIn } from '../scripts/mails.mjs';

export const startMailbox = async (directory) => {
  const server = createServer((request, response) => {
    const address = new URL(request.url, 'http://mailbox').searchParams.get('to');
    const data = mailsIn(directory).filter(({ to }) => to === address);
    response.writeHead(200, { 'Content-Type': 'application/json' }).end(JSON.stringify({ data }));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { url: `http://127.0.0.1:${server.address().port}`, stop: () => server.close() };
};
