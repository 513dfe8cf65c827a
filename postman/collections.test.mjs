// Runs the Postman collections against the real server as people do: with and without an environment, an admin, a
// mailbox, a provider of market data and a picture.
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { crc32, deflateSync } from 'node:zlib';

import { eventually } from '../scripts/eventually.mjs';
import { startServer } from '../tests/browser/server.mjs';
import { startProvider } from './provider.mjs';

const newman = createRequire(new URL('../.ci/tools/', import.meta.url))('newman');

const read = (file) => JSON.parse(readFileSync(new URL(file, import.meta.url), 'utf8'));
const PEOPLE = read('mintage.postman_collection.json');
const TESTS = read('mintage-tests.postman_collection.json');
const ENVIRONMENT = read('mintage.postman_environment.json');

const ADMIN = { admin_email: 'admin@example.com', admin_password: 'a horse of another colour' };

const requestsOf = ({ item }) => item.flatMap((one) => (one.item ? requestsOf(one) : [one]));

/**
 * Runs a collection. Fails if a check fails, or if a request is neither sent nor skipped with a reason; returns the names
 * of both.
 */
const run = async (collection, { variables = {}, folder, environment } = {}) => {
  const envVar = Object.entries(variables).map(([key, value]) => ({ key, value }));
  const notes = [];
  const summary = await new Promise((resolve, reject) => {
    newman
      .run({ collection, envVar, folder, environment, timeoutRequest: 15000 }, (error, found) =>
        error ? reject(error) : resolve(found),
      )
      .on('assertion', (_, { item, assertion, skipped }) => skipped && notes.push({ name: item.name, reason: assertion }));
  });
  const { executions, failures, stats } = summary.run;
  console.log(`${collection.info.name}: ${stats.requests.total} requests, ${stats.assertions.total} checks`);
  for (const { name, reason } of notes) console.log(`  skipped: ${name}: ${reason}`);
  assert.deepEqual(failures.map(({ source, error }) => `${source?.name}: ${error.message}`), []);

  // The request before a stream notes that the stream is left out.
  const skipped = notes.map(({ name, reason }) =>
    reason.includes('a stream does not end') ? { name: reason.split(':')[0], reason } : { name, reason },
  );
  // Requests of scripts count as executions of their request, also if that is skipped afterwards.
  const executed = new Set(executions.filter(({ response }) => response).map(({ item }) => item.name));
  const sent = [...executed].filter((name) => !skipped.some((one) => one.name === name));
  const all = requestsOf(folder ? { item: collection.item.filter(({ name }) => name === folder) } : collection);
  assert.deepEqual([...sent, ...skipped.map(({ name }) => name)].sort(), all.map(({ name }) => name).sort());
  return { sent, skipped, requests: stats.requests.total, environment: summary.environment };
};

const namesOf = (skipped) => skipped.map(({ name }) => name);

/** Asserts that nothing is skipped for another reason than these. */
const assertReasons = (skipped, ...allowed) => {
  const others = skipped.filter(({ reason }) => !allowed.some((pattern) => pattern.test(reason)));
  assert.deepEqual(others, []);
};

const WITHOUT_MAILBOX = /^mail_(code|token) is not set|^the account was not restored$|^only a confirmed address/;
const WITHOUT_ADMIN = /^(admin_\w+|cursor|guest_\w+|gateway_key|dead_job_id) is not set/;
const WITHOUT_PICTURE = /^no file is chosen|^you have no picture/;
/** What no run has. */
const NEVER = /a stream does not end$|^(unlock|alerts)_token is not set|^this server creates accounts without confirm/;

/** A picture of 64 by 64 pixels, as PNG. */
const png = () => {
  const chunk = (type, data) => {
    const body = Buffer.concat([Buffer.from(type), data]);
    const [length, checksum] = [Buffer.alloc(4), Buffer.alloc(4)];
    length.writeUInt32BE(data.length);
    checksum.writeUInt32BE(crc32(body));
    return Buffer.concat([length, body, checksum]);
  };
  const header = Buffer.from([0, 0, 0, 64, 0, 0, 0, 64, 8, 2, 0, 0, 0]);
  const rows = Buffer.alloc(64 * (1 + 64 * 3), 0x55);
  for (let row = 0; row < 64; row += 1) rows[row * (1 + 64 * 3)] = 0;
  return Buffer.concat([
    Buffer.from('\x89PNG\r\n\x1a\n', 'latin1'),
    chunk('IHDR', header),
    chunk('IDAT', deflateSync(rows)),
    chunk('IEND', Buffer.alloc(0)),
  ]);
};

/** The collection after a person has chosen a file. */
const withPicture = (path) => {
  const collection = structuredClone(PEOPLE);
  for (const { request } of requestsOf(collection)) if (request.body?.mode === 'file') request.body.file.src = path;
  return collection;
};

const hasCoinsOf = async (source, { base, post }) => {
  const { access_token } = await (await post('/auth/login', { email: ADMIN.admin_email, password: ADMIN.admin_password })).json();
  const answer = await fetch(`${base}/api/v1/coins`, { headers: { Authorization: `Bearer ${access_token}` } });
  return (await answer.json()).source === source;
};

/** A server with an admin, which a run uses only if it gets the variables. */
const start = (settings, what) => {
  before(async () => {
    what.server = await startServer({ SOCIAL_PROVIDERS: 'none', RATE_LIMIT_AUTH: '1000/1s', ...settings() });
    what.server.createAdmin(ADMIN.admin_email, ADMIN.admin_password);
    what.withoutMailbox = { base_url: what.server.base, mailbox_url: `${what.server.base}/no-mailbox` };
  });
  after(() => what.server?.stop());
};

describe('a new server with demonstration data', () => {
  const on = {};
  start(() => ({ REQUIRE_CONFIRMATION: 'off', COINS_PROVIDERS: 'demo' }), on);

  test('its collection runs as it was imported, without an environment or an admin', async () => {
    const served = await (await fetch(`${on.server.base}/postman.json`)).json();
    const { sent, skipped } = await run(served);
    assertReasons(skipped, NEVER, WITHOUT_ADMIN, WITHOUT_PICTURE);
    for (const name of ['Register an account', 'Log in', 'List coins', 'Create an alert', 'Delete your account']) {
      assert.ok(sent.includes(name), name);
    }
  });

  test('all checks hold with a mailbox and an admin', async () => {
    const variables = { base_url: on.server.base, ...ADMIN };
    const { skipped } = await run(TESTS, { variables });
    assertReasons(skipped, NEVER, WITHOUT_PICTURE, /^dead_job_id is not set/);
  });
});

describe('a server with a provider of market data', () => {
  const on = {};
  before(async () => {
    on.provider = await startProvider();
    on.directory = mkdtempSync(join(tmpdir(), 'mintage-postman-'));
  });
  after(() => {
    on.provider?.stop();
    rmSync(on.directory, { recursive: true, force: true });
  });
  const market = () => ({ COINS_PROVIDERS: 'coingecko', COINGECKO_URL: on.provider.url, FEAR_AND_GREED_URL: 'off' });
  start(() => ({ REQUIRE_CONFIRMATION: 'off', ...market() }), on);

  test('the collection sends all that it can with an environment, a mailbox, an admin and a picture', async () => {
    await eventually('the first sync', () => hasCoinsOf('coingecko', on.server));
    const picture = join(on.directory, 'picture.png');
    writeFileSync(picture, png());
    const variables = { base_url: on.server.base, ...ADMIN };
    const { skipped, environment } = await run(withPicture(picture), { variables, environment: ENVIRONMENT });
    assert.deepEqual(namesOf(skipped), [
      'Confirm the address (only where that is required)',
      'Follow the coins',
      'End the alerts of a mail',
      'End the alerts of a mail with one click',
      'Unlock log-in',
      'Retry a job',
    ]);
    assert.ok(environment.get('refresh_token'), 'the tokens are kept in the environment that is chosen');
  });

  test('all checks hold without a mailbox or an admin', async () => {
    const { skipped } = await run(TESTS, { variables: on.withoutMailbox });
    assertReasons(skipped, NEVER, WITHOUT_MAILBOX, WITHOUT_ADMIN, WITHOUT_PICTURE);
  });
});

describe('a server that requires confirmation, whose tokens expire within half a minute', () => {
  const on = {};
  start(() => ({ REQUIRE_CONFIRMATION: 'on', COINS_PROVIDERS: 'demo', ACCESS_TOKEN_TTL: '25s' }), on);

  test('the collection confirms the address, and refreshes the tokens before each request', async () => {
    const variables = { base_url: on.server.base };
    const { sent, skipped, requests } = await run(PEOPLE, { variables });
    assertReasons(skipped, NEVER, WITHOUT_ADMIN, WITHOUT_PICTURE, /^the address is confirmed$/);
    assert.ok(requests > sent.length + 30, `${requests - sent.length} requests of scripts`);
  });

  test('the collection fails nowhere without a mailbox, although no one can log in', async () => {
    const { sent, skipped } = await run(PEOPLE, { variables: on.withoutMailbox });
    assertReasons(
      skipped,
      NEVER,
      WITHOUT_MAILBOX,
      WITHOUT_ADMIN,
      WITHOUT_PICTURE,
      /^this server wants the address to be confirmed first|_?access_token is not set|^refresh_token is not set/,
      /_(id|key) is not set|^etag is not set|^the account has no username/,
    );
    assert.ok(sent.includes('Register an account') && !sent.includes('List coins'));
  });

  test('all checks of a registration with confirmation hold', async () => {
    const variables = { base_url: on.server.base, confirmation_is_required: 'true' };
    const { skipped } = await run(TESTS, { variables, folder: 'Where confirmation is required' });
    assert.deepEqual(skipped, []);
  });
});
