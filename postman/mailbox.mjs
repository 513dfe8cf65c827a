// Serves a mailbox for unattended runs of the collections: GET /code/ADDRESS/PAGE and GET /token/ADDRESS/PAGE return
// the code or the token of the next mail to that address whose link opens that page, or any page.
import { once } from 'node:events';
import { createServer } from 'node:http';

/** `mailTo` waits for a mail; returns the address of the mailbox and how to end it. */
export const startMailbox = async (mailTo) => {
  const server = createServer(async (request, response) => {
    const [, what, address, page] = request.url.split('/').map(decodeURIComponent);
    try {
      const mail = await mailTo(address, (one) => one[what] && (!page || one.link?.includes(`/${page}#`)));
      response.end(mail[what]);
    } catch (error) {
      response.writeHead(404).end(String(error));
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { url: `http://127.0.0.1:${server.address().port}`, stop: () => server.close() };
};
