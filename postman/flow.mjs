// The parts of the Postman collection that are not in openapi/openapi.json: the order of the requests, what they send
// and expect beyond the document, and scripts. postman/generate.mjs makes the collection from both.
//
// A request is a step. `{ call: 'read_user' }` is enough: method, path, headers, body, description and the tests for
// status, media type and members come from the operation with that `operationId`. A step can say more:
//
//   when     what is special about this request; appended to its name
//   name     the whole name, instead of the summary of the operation
//   about    its description, instead of that of the operation
//   path     values of path parameters, where neither `pathValues` nor the document has a working one
//   query    parameters to send; the others are offered, unticked
//   headers  the same for headers
//   body     the body; by default the documented example with `values` filled in
//   change   members of that example that are different
//   token    the bearer token, `null` for none; by default that of the folder or `{{access_token}}`
//   status   the expected status, if it is not the first documented success
//   answer   the schema of the answer, if it is not the first documented one
//   problem  the code of the expected problem (RFC 9457), and
//   at       the pointer and code of its first field error
//   anyOf    the statuses that are fine, if that depends on the server; `test` has to look at the rest
//   before   a function: the script that runs before the request
//   test     a function or several: the script that runs after the generated tests; `body` is the parsed answer
//
// These functions run in Postman only: they can use `pm` and `body`, and nothing else of these files.

import { apiKeys, gettingIn, gettingOut, leaving, sessions, user } from './flow/accounts.mjs';
import { jobs, users } from './flow/admin.mjs';
import { alerts, coins, watchlist } from './flow/coins.mjs';
import { confirmation, mail } from './flow/mail.mjs';
import { pages, system } from './flow/system.mjs';

export const about = `A walk through the whole API: create an account, use every endpoint, delete the account.

Import this file and \`mintage.postman_environment.json\`, choose the environment, start the server and run the collection. You can also send single requests: **Register an account** makes one up, **Log in** stores its tokens in the environment, and all other requests use them.

The folders **as an admin** need an admin: run \`mintage create-admin --email …\`, then set \`admin_email\` and \`admin_password\` in the environment.`;

/** Values of path parameters that the document has no working example of. */
export const pathValues = { coin: '{{symbol}}' };

/** What replaces the members of documented example bodies. */
export const values = {
  code: '{{mail_code}}',
  coin: '{{symbol}}',
  current_password: '{{password}}',
  email: '{{email}}',
  new_email: 'new-{{email}}',
  new_password: '{{password}}',
  password: '{{password}}',
  refresh_token: '{{refresh_token}}',
  token: '{{mail_token}}',
  username: '{{username}}',
};

export const beforeEach = () => {
  // Reads the last mail for requests that send its code or token: an unattended run gets it from `mailbox_url`,
  // a person copies it to `mail_code` or `mail_token`. Without either the request is skipped.
  const secret = /\{\{mail_(code|token)\}\}/.exec(pm.request.body ? pm.request.body.raw : '');
  if (secret) {
    const [, what] = secret;
    const mailbox = pm.environment.get('mailbox_url');
    const email = pm.environment.get('email');
    const to = pm.request.url.getPath().endsWith('/email/change/confirm') ? `new-${email}` : email;
    if (mailbox) {
      pm.sendRequest(`${mailbox}/${what}/${encodeURIComponent(to)}`, (error, answer) => {
        pm.environment.set(`mail_${what}`, error ? '' : answer.text());
      });
    } else if (!pm.environment.get(`mail_${what}`)) {
      pm.execution.skipRequest();
    }
  }
};

export const afterEach = () => {
  // What holds for every answer.
  pm.test('has a request id and the security headers', () => {
    pm.expect(pm.response.headers.get('X-Request-Id')).to.match(/^[\w.-]{1,64}$/);
    pm.expect(pm.response.headers.get('X-Content-Type-Options')).to.eql('nosniff');
  });
  if (pm.response.code >= 400) {
    pm.test('is a problem (RFC 9457)', () => {
      pm.expect(pm.response.headers.get('Content-Type')).to.eql('application/problem+json');
      const problem = pm.response.json();
      pm.expect(problem).to.include.all.keys('type', 'title', 'status', 'code', 'request_id');
      pm.expect(problem.status).to.eql(pm.response.code);
      pm.expect(problem.type).to.match(new RegExp(`/problems/${problem.code}$`));
      pm.expect(problem.request_id).to.eql(pm.response.headers.get('X-Request-Id'));
      for (const error of problem.errors || []) pm.expect(error).to.have.all.keys('pointer', 'code', 'message');
    });
  } else if (/^text\//.test(pm.response.headers.get('Content-Type') || '')) {
    pm.test('is UTF-8', () => pm.expect(pm.response.headers.get('Content-Type')).to.include('; charset=utf-8'));
  }
};

/** From top to bottom: each folder uses what those before it have created. */
export const folders = [
  system,
  pages,
  gettingIn,
  user,
  mail,
  coins,
  watchlist,
  alerts,
  users,
  jobs,
  sessions,
  apiKeys,
  gettingOut,
  leaving,
  confirmation,
];
