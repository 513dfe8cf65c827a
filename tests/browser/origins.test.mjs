// A frontend that is served on another port calls the API from a browser, with nothing set up for it.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { after, before, test } from 'node:test';

import { launch } from './chromium.mjs';
import { startServer } from './server.mjs';

const ACCOUNT = { email: 'ada@example.com', password: 'correct horse battery staple' };

let api;
let frontend;
let browser;

before(async () => {
  api = await startServer({ REQUIRE_CONFIRMATION: 'off', COINS_PROVIDERS: 'demo', SOCIAL_PROVIDERS: 'none' });
  const page = '<!doctype html><title>A frontend</title><link rel="icon" href="data:,">';
  frontend = createServer((_, answer) => answer.setHeader('Content-Type', 'text/html').end(page)).listen(0, '127.0.0.1');
  await once(frontend, 'listening');
  browser = await launch();
});

after(async () => {
  await browser?.close();
  frontend?.close();
  await api?.stop();
});

/** Runs a function in a page of this host, which is given the address of the API. */
const inPageOf = async (host, run, argument) => {
  const page = await browser.newPage();
  try {
    await page.goto(`http://${host}:${frontend.address().port}/`);
    return await page.evaluate(run, { base: api.base, ...argument });
  } finally {
    await page.close();
  }
};

test('a page on another port registers, logs in, reads coins, follows the stream and reads a problem', async () => {
  const seen = await inPageOf(
    'localhost',
    async ({ base, account }) => {
      const json = (body) => ({
        method: 'POST',
        headers: { 'Content-Type': 'application/json', traceparent: `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01` },
        body: JSON.stringify(body),
      });
      const registered = await fetch(`${base}/api/v1/auth/register`, json(account));
      const { access_token } = await (await fetch(`${base}/api/v1/auth/login`, json(account))).json();
      const headers = { Authorization: `Bearer ${access_token}`, 'X-Request-Id': 'made-by-the-page' };
      const list = await fetch(`${base}/api/v1/coins`, { headers });
      const { data } = await list.json();
      const etag = list.headers.get('ETag');
      const again = await fetch(`${base}/api/v1/coins`, { headers: { ...headers, 'If-None-Match': etag }, cache: 'no-store' });
      const stream = await fetch(`${base}/api/v1/coins/stream`, { headers });
      const reader = stream.body.getReader();
      const decoder = new TextDecoder();
      let events = '';
      while (!events.includes('event:')) {
        const { value, done } = await reader.read();
        if (done) break;
        events += decoder.decode(value, { stream: true });
      }
      await reader.cancel();
      const refused = await fetch(`${base}/api/v1/coins?limit=0`, { headers });
      const problem = await refused.json();
      return {
        location: registered.headers.get('Location'),
        coins: data.length,
        requestId: list.headers.get('X-Request-Id'),
        again: again.status,
        events,
        refused: refused.status,
        pointer: problem.errors[0].pointer,
        code: problem.code,
      };
    },
    { account: ACCOUNT },
  );
  assert.ok(seen.location.startsWith(`${api.base}/api/v1/users/`), seen.location);
  assert.equal(seen.coins, 20);
  assert.equal(seen.requestId, 'made-by-the-page');
  assert.equal(seen.again, 304);
  assert.match(seen.events, /event: snapshot/);
  assert.deepEqual([seen.refused, seen.code, seen.pointer], [422, 'validation-failed', '/limit']);
});

test('a page of another site reads the keys and the documents, and nothing else', async () => {
  // Chromium finds names below localhost at this computer; to the server this is a stranger.
  const statuses = await inPageOf('stranger.localhost', async ({ base }) => {
    const status = (path) => fetch(base + path).then((answer) => answer.status, (error) => error.name);
    const paths = ['/.well-known/jwks.json', '/.well-known/oauth-authorization-server', '/openapi.json', '/openapi-3.0.json'];
    return Promise.all([...paths, '/healthz', '/api/v1/auth/registration'].map(status));
  });
  assert.deepEqual(statuses, [200, 200, 200, 200, 'TypeError', 'TypeError']);
});
