// A mailbox for runs without a person: GET /code/ADDRESS and GET /token/ADDRESS answer with what the
// next mail to that address says. Prints its address.
import { createServer } from 'node:http';

import { mailbox } from '../scripts/mails.mjs';

const mails = mailbox(process.argv[2]);
const server = createServer(async (request, response) => {
  const [, what, address] = request.url.split('/').map(decodeURIComponent);
  try {
    const mail = await mails.next(address, (one) => one[what]);
    response.end(mail[what]);
  } catch (error) {
    response.writeHead(404).end(String(error));
  }
});
server.listen(0, '127.0.0.1', () => console.log(`http://127.0.0.1:${server.address().port}`));
