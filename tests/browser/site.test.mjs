// What a person meets without a link from a mail: the start page, the pages about problems, Swagger UI.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';

import { launch, open as openPage, shot } from './chromium.mjs';
import { startServer } from './server.mjs';

const PASSWORD = 'correct horse battery staple';
const SMALL = { width: 390, height: 800 };

let server;
let browser;

before(async () => {
  server = await startServer({ REQUIRE_CONFIRMATION: 'off', COINS_PROVIDERS: 'demo', SOCIAL_PROVIDERS: 'none' });
  browser = await launch();
});

after(async () => {
  await browser?.close();
  await server?.stop();
});

const open = (t, path, options = {}) =>
  openPage(t, browser, server.base, `${server.base}${path}`, { viewport: SMALL, ...options });

/** How far the page can be scrolled to the side, in pixels. */
const overflow = (page) =>
  page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);

for (const colorScheme of ['light', 'dark']) {
  test(`the pages fit a phone and have one main heading, ${colorScheme}`, async (t) => {
    for (const [path, name] of [['/', 'start'], ['/problems', 'problems'], ['/problems/email-taken', 'problem']]) {
      const page = await open(t, path, { colorScheme });
      assert.equal(await overflow(page), 0, path);
      assert.equal(await page.getByRole('heading', { level: 1 }).count(), 1, path);
      assert.equal(await page.getByRole('main').count(), 1, path);
      await shot(page, `${name}-${colorScheme}`);
    }
  });
}

test('the mailbox shows the mails and the start page leads to it', async (t) => {
  for (const colorScheme of ['light', 'dark']) {
    const page = await open(t, '/', { colorScheme });
    const email = `${colorScheme}@example.com`;
    assert.equal((await server.post('/auth/register', { email, password: PASSWORD })).status, 201);
    assert.equal((await server.post('/auth/password/forgot', { email })).status, 202);
    await server.mailTo(email);
    await page.getByRole('link', { name: 'Mailbox' }).click();
    assert.equal(await overflow(page), 0, 'the list');
    await shot(page, `mailbox-${colorScheme}`);
    await page.getByRole('link', { name: 'Reset your password' }).first().click();
    await page.frameLocator('iframe').getByRole('link').first().waitFor();
    assert.equal(await overflow(page), 0, 'a mail');
    await shot(page, `mailbox-mail-${colorScheme}`);
  }
});

test('the pages for links lead to the start page where no address for the log-in is set', async (t) => {
  const email = 'next@example.com';
  assert.equal((await server.post('/auth/register', { email, password: PASSWORD })).status, 201);
  assert.equal((await server.post('/auth/password/forgot', { email })).status, 202);
  const { link } = await server.mailTo(email);
  const page = await open(t, link.slice(server.base.length));
  await page.getByRole('textbox', { name: 'New password' }).fill('another horse battery staple');
  await page.getByRole('button', { name: 'Set the password' }).click();
  await page.getByRole('heading', { name: 'Password changed' }).waitFor();
  await shot(page, 'password-changed');
  await page.getByRole('link', { name: 'Start page' }).click();
  await page.waitForURL(`${server.base}/`);
});

test('the commands of the start page work as they stand there', async (t) => {
  const page = await open(t, '/');
  const commands = await page.locator('pre').allTextContents();
  assert.equal(commands.length, 3);
  const { stdout } = await promisify(execFile)('bash', ['-euc', commands.join('\necho\n')]);
  const [account, coins] = stdout.trim().split(/\n+/).map((line) => JSON.parse(line));
  assert.equal(account.email, 'ada@example.com');
  assert.deepEqual(coins.data.map(({ symbol }) => symbol).slice(0, 1), ['BTC']);
  assert.equal(coins.data.length, 3);
});

test('the index of the problems leads to each of them', async (t) => {
  const page = await open(t, '/problems');
  const entries = await page.getByRole('navigation').getByRole('link').all();
  assert.ok(entries.length > 30, `${entries.length} problems`);
  for (const entry of entries) {
    const href = await entry.getAttribute('href');
    assert.equal(await page.locator(`section${href}`).count(), 1, href);
  }
  const example = JSON.parse(await page.locator('#validation-failed pre').textContent());
  assert.equal(example.type, `${server.base}/problems/validation-failed`);
  assert.equal(example.errors[0].pointer, '/email');
  await page.locator('#token-expired').getByRole('link').click();
  await page.getByRole('heading', { name: 'The access token has expired' }).waitFor();
  await page.getByRole('link', { name: 'All problems' }).click();
  await page.waitForURL(`${server.base}/problems`);
});

/** An operation of Swagger UI, opened. */
const operation = async (page, method, path) => {
  const block = page.locator('.opblock').filter({ has: page.locator(`[data-path="${path}"]`) });
  const one = block.and(page.locator(`.opblock-${method}`));
  await one.locator('.opblock-summary').click();
  await one.getByRole('button', { name: 'Execute' }).waitFor();
  return one;
};

const execute = async (one) => {
  await one.getByRole('button', { name: 'Execute' }).click();
  await one.locator('.live-responses-table tbody .response-col_status').waitFor();
  return Number.parseInt(await one.locator('.live-responses-table tbody .response-col_status').innerText(), 10);
};

test('Swagger UI sends the token of a log-in there until the log-out, and ends streams', async (t) => {
  const email = 'swagger@example.com';
  assert.equal((await server.post('/auth/register', { email, password: PASSWORD })).status, 201);
  const page = await open(t, '/apidocs/', { viewport: { width: 1200, height: 900 } });
  await page.locator('.opblock').first().waitFor();
  assert.match(await page.title(), /^Mintage \d+\.\d+\.\d+ – API$/);
  assert.equal(await page.getByRole('button', { name: 'Explore' }).count(), 0);
  assert.equal(await page.getByText('Swagger UI', { exact: true }).count(), 0, 'its own name');

  const login = await operation(page, 'post', '/api/v1/auth/login');
  await login.locator('textarea').fill(JSON.stringify({ email, password: PASSWORD }));
  assert.equal(await execute(login), 200);
  const me = await operation(page, 'get', '/api/v1/user');
  assert.equal(await execute(me), 200, 'with the token');

  const stream = await operation(page, 'get', '/api/v1/coins/stream');
  assert.equal(await execute(stream), 200);
  await stream.locator('.live-responses-table').getByText('Swagger UI ends a stream after the first event').waitFor();
  await stream.locator('.live-responses-table').getByText('event: snapshot').waitFor();

  const logout = await operation(page, 'post', '/api/v1/auth/logout');
  assert.equal(await execute(logout), 204);
  await me.getByRole('button', { name: 'Clear' }).click();
  assert.equal(await execute(me), 401);
  await me.locator('.live-responses-table').getByText('missing-token').first().waitFor();
});

test('Swagger UI calls the address under which it was opened, whatever PUBLIC_URL is', async (t) => {
  const base = server.base.replace('127.0.0.1', 'localhost');
  const viewport = { width: 1200, height: 900 };
  const page = await openPage(t, browser, base, `${base}/apidocs/`, { viewport });
  await page.locator('.opblock').first().waitFor();
  const registration = await operation(page, 'get', '/api/v1/auth/registration');
  assert.equal(await execute(registration), 200);
  await registration.locator('.request-url').getByText(`${base}/api/v1/auth/registration`).waitFor();
  const { servers } = await (await fetch(`${server.base}/openapi.json`)).json();
  assert.deepEqual(servers, [{ url: server.base }], 'other clients call PUBLIC_URL');
});

test('Swagger UI fits a phone', async (t) => {
  const page = await open(t, '/apidocs/');
  await page.locator('.opblock').first().waitFor();
  assert.equal(await overflow(page), 0, 'closed');
  await shot(page, 'swagger-ui-phone');
  for (const [method, path] of [['post', '/api/v1/auth/login'], ['get', '/api/v1/coins/{coin}/chart.svg']]) {
    const one = await operation(page, method, path);
    assert.equal(await overflow(page), 0, path);
    const { width } = await one.getByRole('button', { name: 'Execute' }).boundingBox();
    assert.ok(width > 100 && width <= SMALL.width);
  }
  const names = await page.locator('.parameters .parameter__name').allInnerTexts();
  assert.match(names[0], /^coin/, 'the required parameter is the first');
  await page.getByRole('button', { name: 'Authorize' }).first().click();
  await page.locator('.modal-ux').waitFor();
  assert.equal(await overflow(page), 0, 'the dialog');
});
