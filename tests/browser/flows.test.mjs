// A person with a mail client and a browser finishes every flow; nothing else is there.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { launch, open as openPage, shot } from './chromium.mjs';
import { startServer } from './server.mjs';

const PASSWORD = 'correct horse battery staple';
const LOGIN = 'https://app.example.com/login';

let server;
let browser;

before(async () => {
  server = await startServer({ TRUSTED_PROXIES: '127.0.0.0/8', LOGIN_URL: LOGIN });
  browser = await launch();
});

after(async () => {
  await browser?.close();
  await server?.stop();
});

const open = (t, link, options) => openPage(t, browser, server.base, link, options);

const register = async (email) => {
  assert.equal((await server.post('/auth/register', { email, password: PASSWORD })).status, 202);
  return server.mailTo(email);
};

const logIn = async (email, password) => (await server.post('/auth/login', { email, password })).status;

const account = async (email) => {
  const mail = await register(email);
  const token = mail.link.split('#token=')[1];
  assert.equal((await server.post('/auth/confirm', { token, password: PASSWORD })).status, 200);
};

test('the link confirms, with one press of a button and not before', async (t) => {
  const mail = await register('link@example.com');
  const page = await open(t, mail.link);
  await page.getByRole('button', { name: 'Confirm' }).waitFor();
  assert.equal(page.url(), `${server.base}/confirm`, 'the token is gone from the address');
  assert.equal(await logIn('link@example.com', PASSWORD), 403, 'opening it confirms nothing');
  await page.getByText('Confirm it only if that was you').waitFor();
  await page.getByRole('button', { name: 'Confirm' }).click();
  await page.getByText('Please fill in this field.').waitFor();
  assert.equal(await page.evaluate(() => document.activeElement.id), 'password');
  await page.getByLabel('Show the password').check();
  await page.getByRole('textbox', { name: 'Password' }).fill(PASSWORD);
  await shot(page, 'confirm-link');

  await page.getByRole('button', { name: 'Confirm' }).click();
  await page.getByText('link@example.com is confirmed').waitFor();
  await page.getByRole('heading', { name: 'Email address confirmed' }).waitFor();
  assert.match(await page.title(), /^Email address confirmed – /);
  assert.equal(await page.getByRole('link', { name: 'Log in' }).getAttribute('href'), LOGIN);
  assert.equal(await page.evaluate(() => document.activeElement.id), 'done', 'the result has the focus');
  await shot(page, 'confirm-done');
  assert.equal(await logIn('link@example.com', PASSWORD), 200);
});

test('the code confirms, typed on another device by keyboard alone', async (t) => {
  const mail = await register('code@example.com');
  const page = await open(t, `${server.base}/confirm`, { colorScheme: 'dark' });
  await page.keyboard.press('Tab');
  await page.keyboard.type('code@example.com');
  await page.keyboard.press('Tab');
  await page.keyboard.type(mail.code === '00000000' ? '00000001' : '00000000');
  await page.keyboard.press('Tab');
  await page.keyboard.type(PASSWORD);
  await page.keyboard.press('Enter');
  await page.getByText('The code or the address is wrong').waitFor();
  await shot(page, 'confirm-wrong-code-dark');

  const typed = `${mail.code.slice(0, 4)}-${mail.code.slice(4).toLowerCase()}`;
  await page.getByLabel('Code of eight characters').fill(typed);
  await page.keyboard.press('Enter');
  await page.getByText('code@example.com is confirmed').waitFor();
  await shot(page, 'confirm-done-dark');
  assert.equal(await logIn('code@example.com', PASSWORD), 200);
});

test('a link that was replaced leads to another mail and its code', async (t) => {
  const email = 'again@example.com';
  const first = await register(email);
  const page = await open(t, first.link);
  await server.post('/auth/confirm/resend', { email });
  await server.mailTo(email);
  await page.getByLabel('Password', { exact: true }).fill(PASSWORD);
  await page.getByRole('button', { name: 'Confirm' }).click();
  await page.getByText('This link has expired or was used already').waitFor();
  await page.getByText('No email, or has it expired?').click();
  await page.locator('#again').getByLabel('Email address').fill(email);
  await page.getByRole('button', { name: 'Send an email' }).click();
  await page.getByText('is on its way').waitFor();
  await shot(page, 'confirm-again');

  const { code } = await server.mailTo(email);
  await page.getByLabel('Code of eight characters').fill(code);
  await page.getByRole('button', { name: 'Confirm' }).click();
  await page.getByText(`${email} is confirmed`).waitFor();
});

test('a person who has never registered chooses a password within the policy', async (t) => {
  const email = 'strangers@example.com';
  const mail = await register(email);
  const page = await open(t, mail.link);
  const password = page.getByLabel('Password', { exact: true });
  await password.fill('password123');
  await page.getByRole('button', { name: 'Confirm' }).click();
  await page.getByText('The password is too common: attackers try it first.').waitFor();
  assert.equal(await password.getAttribute('aria-invalid'), 'true');
  await shot(page, 'confirm-refused');
  await password.fill('a horse of another colour');
  await page.getByRole('button', { name: 'Confirm' }).click();
  await page.getByText(`${email} is confirmed`).waitFor();
  assert.equal(await logIn(email, PASSWORD), 401, 'the registered password is dead');
  assert.equal(await logIn(email, 'a horse of another colour'), 200);
});

test('another link in the same tab is the one that counts', async (t) => {
  const email = 'same-tab@example.com';
  const mail = await register(email);
  const page = await open(t, `${server.base}/confirm#token=dead`);
  await page.getByRole('button', { name: 'Confirm' }).waitFor();
  await page.goto(mail.link);
  await page.waitForURL(`${server.base}/confirm`);
  await page.getByLabel('Password', { exact: true }).fill(PASSWORD);
  await page.getByRole('button', { name: 'Confirm' }).click();
  await page.getByText(`${email} is confirmed`).waitFor();
});

test('a forgotten password is reset on the page, which explains problems in sentences', async (t) => {
  const email = 'forgot@example.com';
  await account(email);
  const asking = await open(t, `${server.base}/reset-password`);
  await asking.locator('#again').getByLabel('Email address').fill(email);
  await asking.getByRole('button', { name: 'Send an email' }).click();
  await asking.getByText('is on its way').waitFor();
  await shot(asking, 'reset-ask');

  const mail = await server.mailTo(email);
  const page = await open(t, mail.link);
  const password = page.getByLabel('New password');
  await shot(page, 'reset-link');
  await page.getByRole('button', { name: 'Set the password' }).click();
  await page.getByText('Please fill in this field.').waitFor();
  await password.fill('password123');
  await page.getByRole('button', { name: 'Set the password' }).click();
  await page.getByText('The password is too common: attackers try it first.').waitFor();
  assert.equal(await password.getAttribute('aria-invalid'), 'true');
  assert.equal(await page.evaluate(() => document.activeElement.id), 'password');
  await page.getByLabel('Show the password').check();
  await shot(page, 'reset-refused');

  await password.fill('a horse of another colour');
  await page.getByRole('button', { name: 'Set the password' }).click();
  await page.getByText('Your new password is set').waitFor();
  await shot(page, 'reset-done');
  assert.equal(await logIn(email, PASSWORD), 401);
  assert.equal(await logIn(email, 'a horse of another colour'), 200);
});

test('the code resets the password too', async (t) => {
  const email = 'reset-code@example.com';
  await account(email);
  await server.post('/auth/password/forgot', { email });
  const { code } = await server.mailTo(email);
  const page = await open(t, `${server.base}/reset-password`, { colorScheme: 'dark', viewport: { width: 1280, height: 900 } });
  await shot(page, 'reset-code-dark-wide');
  await page.locator('#proof').getByLabel('Email address').fill(email);
  await page.getByLabel('Code of eight characters').fill(code);
  await page.getByLabel('New password').fill('a horse of another colour');
  await page.getByLabel('New password').press('Enter');
  await page.getByText('Your new password is set').waitFor();
  assert.equal(await logIn(email, 'a horse of another colour'), 200);
});

test('a change of the address is confirmed and undone on the pages', async (t) => {
  const [old, fresh] = ['old@example.com', 'fresh@example.com'];
  await account(old);
  const { access_token: token } = await (await server.post('/auth/login', { email: old, password: PASSWORD })).json();
  await fetch(`${server.base}/api/v1/auth/email/change`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', Authorization: `Bearer ${token}` },
    body: JSON.stringify({ new_email: fresh, password: PASSWORD }),
  });
  const confirming = await open(t, (await server.mailTo(fresh)).link);
  await confirming.getByText('may be able to take the account back').waitFor();
  await shot(confirming, 'email-change-link');
  await confirming.getByRole('button', { name: 'Confirm new email' }).click();
  await confirming.getByText(`${fresh} is now the address of your account`).waitFor();
  assert.equal(await logIn(fresh, PASSWORD), 200);

  const { link } = await server.mailTo(old);
  const undoing = await open(t, link);
  await shot(undoing, 'undo-link');
  await undoing.getByRole('button', { name: 'Undo the change' }).click();
  await undoing.getByText(`${old} is the address of your account again`).waitFor();
  await shot(undoing, 'undo-done');
  assert.equal(await logIn(old, PASSWORD), 200);

  // There is no code to fall back to: each press shows the same text.
  const again = await open(t, link);
  for (let press = 0; press < 2; press += 1) {
    const answered = again.waitForResponse('**/email/change/undo');
    await again.getByRole('button', { name: 'Undo the change' }).click();
    assert.equal((await answered).status(), 422);
    await again.getByText('This link has expired or was used already.').waitFor();
  }
});

test('an invited person chooses a password, deletes the account and restores it', async (t) => {
  const [root, email] = ['root@example.com', 'invited@example.com'];
  server.createAdmin(root, PASSWORD);
  const login = async (address) => (await server.post('/auth/login', { email: address, password: PASSWORD })).json();
  const headers = { Authorization: `Bearer ${(await login(root)).access_token}` };
  assert.equal((await server.post('/users', { email, name: 'Grace' }, headers)).status, 201);
  const inviting = await open(t, (await server.mailTo(email)).link);
  await inviting.getByText('An administrator has created an account for you').waitFor();
  await inviting.getByRole('textbox', { name: 'Password' }).fill('password');
  await inviting.getByRole('button', { name: 'Set the password' }).click();
  await inviting.getByText('is too common').waitFor();
  await inviting.getByRole('textbox', { name: 'Password' }).fill(PASSWORD);
  await shot(inviting, 'invitation');
  await inviting.getByRole('button', { name: 'Set the password' }).click();
  await inviting.getByText('Your password is set').waitFor();

  const { access_token: token } = await login(email);
  const deleted = await fetch(`${server.base}/api/v1/user`, {
    method: 'DELETE',
    headers: { 'Content-Type': 'application/json', Authorization: `Bearer ${token}` },
    body: JSON.stringify({ password: PASSWORD }),
  });
  assert.equal(deleted.status, 204);
  assert.equal(await logIn(email, PASSWORD), 401);
  const mail = await server.mailTo(email, ({ link }) => link?.includes('/restore-account'));
  const restoring = await open(t, mail.link);
  await restoring.getByText('It comes back with everything in it').waitFor();
  assert.equal(await logIn(email, PASSWORD), 401, 'opening it restores nothing');
  await shot(restoring, 'restore');
  await restoring.getByRole('button', { name: 'Restore the account' }).click();
  await restoring.getByText('Your account is restored').waitFor();
  assert.equal(await logIn(email, PASSWORD), 200);
});

test('a deleted account whose address is taken comes back after the other one is gone', async (t) => {
  const email = 'taken@example.com';
  const remove = async () => {
    const { access_token: token } = await (await server.post('/auth/login', { email, password: PASSWORD })).json();
    const answer = await fetch(`${server.base}/api/v1/user`, {
      method: 'DELETE',
      headers: { 'Content-Type': 'application/json', Authorization: `Bearer ${token}` },
      body: JSON.stringify({ password: PASSWORD }),
    });
    assert.equal(answer.status, 204);
  };
  await account(email);
  await remove();
  const { link } = await server.mailTo(email, (mail) => mail.link?.includes('/restore-account'));
  await account(email);
  const page = await open(t, link);
  await page.getByRole('button', { name: 'Restore the account' }).click();
  await page.getByText('Another account has the email address by now: delete that account').waitFor();
  await shot(page, 'restore-taken');
  await remove();
  await page.getByRole('button', { name: 'Restore the account' }).click();
  await page.getByRole('heading', { name: 'Account restored' }).waitFor();
  assert.equal(await logIn(email, PASSWORD), 200);
});

test('without its token the undo page says what to do', async (t) => {
  const page = await open(t, `${server.base}/undo-email-change`);
  await page.getByText('This link is incomplete').waitFor();
  assert.equal(await page.getByRole('button').count(), 0);
});

test('an unreachable server is reported, and no input is lost', async (t) => {
  const mail = await register('away@example.com');
  const page = await open(t, mail.link);
  await page.route('**/api/**', (route) => route.abort());
  page.removeAllListeners('console');
  await page.getByLabel('Password', { exact: true }).fill(PASSWORD);
  await page.getByRole('button', { name: 'Confirm' }).click();
  await page.getByText('The server cannot be reached').waitFor();
  await page.unroute('**/api/**');
  await page.getByRole('button', { name: 'Confirm' }).click();
  await page.getByText('away@example.com is confirmed').waitFor();
});

test('the link unblocks a log-in that strangers have blocked', async (t) => {
  const email = 'stopped@example.com';
  await account(email);
  for (let guess = 0; guess < 100; guess += 1) {
    const from = `192.0.${Math.floor(guess / 20)}.1`;
    const answer = await server.post('/auth/login', { email, password: 'a wrong password' }, { 'X-Forwarded-For': from });
    assert.equal(answer.status, 401);
  }
  assert.equal(await logIn(email, PASSWORD), 429);
  const page = await open(t, (await server.mailTo(email)).link);
  await page.getByRole('button', { name: 'Let me log in here' }).waitFor();
  await shot(page, 'unlock');
  await page.getByRole('button', { name: 'Let me log in here' }).click();
  await page.getByText('You can log in from here now').waitFor();
  await shot(page, 'unlock-done');
  assert.equal(await logIn(email, PASSWORD), 200);
});

test('the mailbox of development shows a mail, and its link opens the page in a new tab', async (t) => {
  const email = 'mailbox@example.com';
  const mail = await register(email);
  const { data } = await (await fetch(`${server.base}/dev/mails?to=${email}`)).json();
  assert.deepEqual(data.map((one) => [one.code, one.link]), [[mail.code, mail.link]]);
  const page = await open(t, `${server.base}/dev/mails`, { colorScheme: 'dark' });
  await page.getByRole('link', { name: data[0].subject }).first().click();
  const html = page.frameLocator('iframe');
  await html.getByRole('heading', { name: data[0].subject }).waitFor();
  await shot(page, 'mailbox-dark');
  const tab = page.context().waitForEvent('page');
  await html.getByRole('link').first().click();
  await (await tab).getByRole('button', { name: 'Confirm' }).waitFor();
});
