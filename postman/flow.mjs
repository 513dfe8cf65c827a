// The parts of the Postman collections that are not in openapi/openapi.json: the order of the requests, what they send
// and expect beyond the document, and scripts. postman/generate.mjs makes the collections from both.
//
// A request is a step. `{ call: 'read_user' }` is enough: method, path, headers, body, description, saved examples and
// the tests for status, media type and members come from the operation with that `operationId`. A step can say more:
//
//   when     what is special about this request; appended to its name. Only the tests have it, except
//   shown    people get it too
//   name     the whole name, instead of the summary of the operation
//   about    its description, instead of that of the operation
//   path     values of path parameters, where the document has no working one
//   query    parameters to send; the others are offered, unticked
//   headers  the same for headers
//   body     the body; by default the documented example with `values` filled in
//   change   members of that example that are different
//   text     { type, body }: a body that is neither JSON nor a form
//   file     the media type of a file that a person chooses as the body
//   token    the bearer token, `null` for none; by default that of the folder or `{{access_token}}`
//   status   the expected status, if it is not the first documented success
//   problem  the code of the expected problem (RFC 9457); people see it as a saved example instead
//   at       the pointer and code of the first field error of that problem
//   anyOf    the statuses that are fine, if that depends on the server; its name has to say so
//   endless  the response is a stream: runs leave it out
//   onlyIf   { variable, is, because }: the request is skipped for this reason unless the variable is `true`, or as `is`
//   skipIf   { code, because }: people see the request as skipped, not as failed, if the server answers with this problem
//   mail     { what, to, page }: the `code` or `token` of a mail that the body contains, the address of that mail and the
//            page of its link
//   before   a function: the script that runs before the request
//   keep     a function: stores with `keep(name, value)` what later requests send; `body` is the parsed answer
//   test     a function or several: the script that runs after the generated tests, for tests only
//
// These functions run in Postman only: they can use `pm`, `body` and `keep`, and nothing else of these files. A request
// with a variable that has no value is skipped, and a run shows why; see `beforeEach`.

import { apiKeys, gettingStarted, leaving, sessions, signingIn, user } from './flow/accounts.mjs';
import { administration } from './flow/admin.mjs';
import { alerts, coins, portfolio, watchlist } from './flow/coins.mjs';
import { confirmation, mail } from './flow/mail.mjs';
import { pages, system } from './flow/system.mjs';

const checksOfEachAnswer = () => {
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

export const people = {
  name: 'Mintage',
  about: `All endpoints of Mintage, ready to send.

1. Set the variable \`base_url\` to the address of the server, if it differs.
2. Send **Register an account** and **Log in** in the folder *Getting started*. The first makes up an account. To use your own, set \`email\` and \`password\` and only send **Log in**.
3. Send anything else. The tokens of the log-in are stored in the environment that is chosen, or in the collection if there is none, and are refreshed before they expire.

Query parameters and headers that you can add are listed, unticked. Each request has saved examples: its responses, and the problems that are particular to it. Problems that most requests can have, such as an expired token, are explained at \`{{base_url}}/problems\`.

**Administration** needs an admin: run \`mintage create-admin --email …\`, then set \`admin_email\` and \`admin_password\`.

Requests that need the code or the token of a mail read it from the server, if that is a development server on this computer (\`{{base_url}}/dev/mails\`). From any other, copy it to \`mail_code\` or \`mail_token\`.

You can also run the whole collection: from the top it creates an account, uses all endpoints and deletes the account. A request that needs something that is missing, such as an admin or a mail, is skipped, and the run says which and why.`,
};

export const tests = {
  name: 'Mintage: tests',
  about:
    'The requests of the collection *Mintage* and those that must be refused, with all checks of the responses. This collection is run in CI (`make newman`); to try the API, import `mintage.postman_collection.json` instead.',
  after: checksOfEachAnswer,
};

/** What a person may set, with the default. Scripts set all other variables. */
export const variables = {
  base_url: 'http://127.0.0.1:8080',
  email: '',
  password: '',
  admin_email: '',
  admin_password: '',
  mail_code: '',
  mail_token: '',
  mailbox_url: '',
};

export const secrets = /password|token|code|key$/;

const CREATE_AN_ADMIN = 'create an admin with `mintage create-admin --email …`';

/** What to do about a variable without a value, if that is not to send the request that stores it. */
export const hints = {
  admin_email: CREATE_AN_ADMIN,
  admin_password: CREATE_AN_ADMIN,
  dead_job_id: 'no job has failed for good',
  unlock_token: 'copy it from the mail about log-ins that were stopped',
  alerts_token: 'copy it from the mail about an alert',
};

/** What replaces the members of documented example bodies. */
export const values = {
  code: '{{mail_code}}',
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
  // Skips a request that contains a variable without a value: runs count it as skipped and show the reason.
  const { auth, body, headers, url } = pm.request;
  const used = JSON.stringify([auth, body, headers, url]).matchAll(/\{\{(\w+)\}\}/g);
  const isMissing = (name) => {
    // The script of this request is about to make it up, or to read it from a mail.
    const follows = (madeUp[pm.info.requestName] || []).includes(name) || /^mail_(code|token)$/.test(name);
    return !follows && !pm.variables.get(name);
  };
  const missing = [...new Set([...used].map(([, name]) => name))].filter(isMissing);
  // Without a token of its own a request sends that of the collection.
  if (!auth && !pm.variables.get('access_token')) missing.unshift('access_token');
  const [name] = missing;
  if (name) {
    pm.test.skip(`${name} is not set; ${hints[name] || 'set it'}`);
    pm.execution.skipRequest();
  }
  if (body && body.mode === 'file' && !(body.file && body.file.src)) {
    pm.test.skip('no file is chosen; choose one under Body');
    pm.execution.skipRequest();
  }

  // Refreshes tokens half a minute before they expire. Requests that are sent at the same time may all do so: the
  // server gives them the same new refresh token.
  const isPublic = auth && auth.type === 'noauth';
  for (const whose of isPublic ? [] : ['', 'admin_']) {
    const refreshToken = pm.variables.get(`${whose}refresh_token`);
    const expiresAt = Number(pm.variables.get(`${whose}access_token_expires_at`));
    if (refreshToken && expiresAt - Date.now() < 30000) {
      const refresh = {
        url: `${pm.variables.get('base_url')}/api/v1/auth/refresh`,
        method: 'POST',
        header: { 'Content-Type': 'application/json' },
        body: { mode: 'raw', raw: JSON.stringify({ refresh_token: refreshToken }) },
      };
      pm.sendRequest(refresh, (error, answer) => {
        if (!error && answer.code === 200) {
          const tokens = answer.json();
          keep(`${whose}access_token`, tokens.access_token);
          keep(`${whose}refresh_token`, tokens.refresh_token);
          keep(`${whose}access_token_expires_at`, Date.now() + tokens.expires_in * 1000);
        } else if (!error && answer.code === 401) {
          // The session has ended.
          keep(`${whose}refresh_token`, '');
        }
      });
    }
  }
};

/** From top to bottom: each folder uses what those before it have created. */
export const folders = [
  gettingStarted,
  coins,
  watchlist,
  alerts,
  portfolio,
  user,
  signingIn,
  mail,
  sessions,
  apiKeys,
  administration,
  leaving,
  confirmation,
  system,
  pages,
];
