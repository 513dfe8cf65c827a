// Serves a mailbox for unattended runs: GET /code/ADDRESS and GET /token/ADDRESS return the code or token of the next
// mail to that address. Prints its own address.
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
