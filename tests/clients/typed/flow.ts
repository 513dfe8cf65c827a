// What a frontend does with a client whose types come from the document: compiled with the strictest settings, then run.
import assert from 'node:assert/strict';

import createClient, { type Middleware } from 'openapi-fetch';

import type { components, paths } from '../generated/api.js';

type Tokens = components['schemas']['TokenPair'];
type Coin = components['schemas']['Coin'];

const PASSWORD = 'correct horse battery staple';

type Refused = components['schemas']['InvalidCredentialsProblem' | 'EmailUnconfirmedProblem' | 'AccountDisabledProblem'];

/** Every code that a log-in answers with 401 or 403 has a text; one that is forgotten does not compile. */
const textOf = (problem: Refused) => {
  switch (problem.code) {
    case 'invalid-credentials':
      return 'Wrong email address or password.';
    case 'email-unconfirmed':
      return 'Confirm your address first.';
    case 'account-disabled':
      return 'This account is disabled.';
    default:
      return problem satisfies never;
  }
};

export const run = async (baseUrl: string) => {
  let tokens: Tokens | undefined;
  let refreshes = 0;
  const client = createClient<paths>({ baseUrl });
  const anonymous = createClient<paths>({ baseUrl });
  const bearer: Middleware = {
    onRequest: ({ request }) => {
      if (tokens) request.headers.set('Authorization', `Bearer ${tokens.access_token}`);
      return request;
    },
    onResponse: async ({ request, response }) => {
      if (response.status !== 401 || !tokens || request.headers.get('X-Repeated')) return undefined;
      const { data } = await anonymous.POST('/api/v1/auth/refresh', { body: { refresh_token: tokens.refresh_token } });
      if (!data) return undefined;
      refreshes += 1;
      tokens = data;
      const headers = new Headers(request.headers);
      headers.set('Authorization', `Bearer ${data.access_token}`);
      headers.set('X-Repeated', 'yes');
      return fetch(new Request(request, { headers }));
    },
  };
  client.use(bearer);

  const account = { email: 'grace@example.com', password: PASSWORD };
  const registered = await client.POST('/api/v1/auth/register', { body: account });
  assert.equal(registered.response.status, 201);
  const location = registered.response.headers.get('Location');
  assert.equal(new URL(location ?? '').origin, baseUrl);

  const wrong = await client.POST('/api/v1/auth/login', { body: { ...account, password: 'not the password' } });
  assert(wrong.error && wrong.error.code === 'invalid-credentials');
  assert.equal(textOf(wrong.error), 'Wrong email address or password.');

  tokens = (await client.POST('/api/v1/auth/login', { body: account })).data;
  assert(tokens);

  // The list has one type, and every member of a coin is there.
  const list = await client.GET('/api/v1/coins', { params: { query: { limit: 3, currency: 'gbp' } } });
  assert(list.data);
  const coins: Coin[] = list.data.data;
  assert.equal(coins.length, 3);
  const [first] = coins;
  assert(first);
  const price: number | null = first.price;
  const sentiment: number | null | undefined = first.social?.sentiment;
  assert.equal(typeof price, 'number');
  assert.equal(sentiment, undefined);

  const etag = list.response.headers.get('ETag') ?? '';
  const query = { limit: 3, currency: 'gbp' };
  const again = await client.GET('/api/v1/coins', { params: { query, header: { 'If-None-Match': etag } } });
  assert.equal(again.response.status, 304);

  // Members of the sparse list may be absent, and the types say so.
  const sparse = await client.GET('/api/v1/coins/sparse', { params: { query: { fields: 'price', limit: 1 } } });
  const [one] = sparse.data?.data ?? [];
  assert(one);
  // @ts-expect-error the name may be absent
  const name: string = one.name;
  assert.equal(name, undefined);
  const symbol: string = one.symbol;
  assert.equal(symbol, 'BTC');

  const table = await client.GET('/api/v1/coins.csv', { parseAs: 'text' });
  const text: string | undefined = table.data;
  assert.match(text ?? '', /^id,symbol,/);

  const stream = await client.GET('/api/v1/coins/stream', { parseAs: 'stream' });
  assert(stream.data);
  const [reader, decoder] = [stream.data.getReader(), new TextDecoder()];
  let events = '';
  while (!events.includes('event:')) {
    const { value, done } = await reader.read();
    assert(!done, events);
    events += decoder.decode(value, { stream: true });
  }
  assert.match(events, /event: snapshot/);
  await reader.cancel();

  const refused = await client.POST('/api/v1/user/alerts', {
    body: { coin: 'bitcoin', metric: 'price', direction: 'above', threshold: -1 },
  });
  assert(refused.error?.code === 'validation-failed');
  assert.equal(refused.error.errors?.[0]?.pointer, '/threshold');

  // An invalid access token is replaced, and the request repeated.
  tokens = { ...tokens, access_token: `${tokens.access_token.slice(0, -4)}AAAA` };
  const me = await client.GET('/api/v1/user');
  assert.equal(me.data?.email, account.email);
  assert.equal(refreshes, 1);

  const patched = await client.PATCH('/api/v1/user', {
    params: { header: { 'If-Match': me.response.headers.get('ETag') ?? '' } },
    body: { name: 'Grace Hopper' },
  });
  assert.equal(patched.data?.name, 'Grace Hopper');

  const users = await client.GET('/api/v1/users');
  // A page or a problem, never a text.
  assert.equal(users.data satisfies components['schemas']['UserList'] | undefined, undefined);
  assert.equal(users.error?.code, 'forbidden');

  const deleted = await client.DELETE('/api/v1/user', { body: { password: PASSWORD } });
  assert.equal(deleted.response.status, 204);
};
