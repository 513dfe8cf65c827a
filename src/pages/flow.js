'use strict';

const byId = (id) => document.getElementById(id);
const typed = byId('typed');

// Remove the token from the address at once, so that it appears neither in the history nor on a screenshot.
// It is in the query only if a mail program opens the address for one-click unsubscription (RFC 8058).
const token = new URLSearchParams(location.hash.slice(1)).get('token')
  ?? new URLSearchParams(location.search).get('token');
if (location.hash || location.search) history.replaceState(null, '', location.pathname);

// Opening another link in the same tab changes only the fragment, which would not load the page again.
addEventListener('hashchange', () => location.reload());

/** Whether the server has refused the token. The person can then enter the code of another mail. */
let deadLink = false;

const sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? '' : '.');

const inWords = (seconds) => {
  const [count, unit] =
    seconds < 90 ? [seconds, 'second']
    : seconds < 90 * 60 ? [Math.ceil(seconds / 60), 'minute']
    : [Math.ceil(seconds / 3600), 'hour'];
  return `${count} ${unit}${count === 1 ? '' : 's'}`;
};

/** Returns what went wrong as sentences, by the name of the field at fault ('' if none is). */
const complaints = async (answer, byToken) => {
  const problem = await answer.json().catch(() => ({}));
  if (answer.status === 429 || answer.status === 503) {
    const wait = inWords(Number(answer.headers.get('Retry-After')) || 1);
    return { '': `${sentence(problem.title ?? 'That did not work')} Try again in ${wait}.` };
  }
  if (problem.code === 'invalid-code') {
    deadLink ||= byToken && typed !== null;
    const another = byId('again') ? 'request another email' : 'request the change again in your account';
    return { '': byToken
      ? `This link has expired or was used already.${typed ? ` ${sentence(another)}` : ''}`
      : `The code or the address is wrong, or the code has expired. Check both, or ${another}.` };
  }
  // Says what to do first.
  if (answer.status === 409) return { '': sentence(problem.detail ?? problem.title) };
  const found = {};
  for (const { pointer, message } of problem.errors ?? []) {
    const name = pointer.slice(1);
    const label = { email: 'This', code: 'The code', password: 'The password', new_password: 'The password' }[name];
    if (label) found[name] ??= sentence(`${label} ${message}`);
    else found[''] ??= sentence(message);
  }
  if (Object.keys(found).length === 0) found[''] = sentence(problem.title ?? 'That did not work');
  return found;
};

const show = (form, found) => {
  let first;
  for (const input of form.querySelectorAll('input[name]')) {
    const text = found[input.name];
    const place = byId(`${input.id}-error`);
    if (text) input.setAttribute('aria-invalid', 'true');
    else input.removeAttribute('aria-invalid');
    if (place) place.textContent = text ?? '';
    if (text) first ??= input;
  }
  const general = form.querySelector('[role=alert]');
  if (found[''] || general.id === 'proof-error') general.textContent = found[''] ?? '';
  first?.focus();
};

/** Posts the body. Resolves to the response if it is a success, otherwise shows the problem. */
const send = async (form, body) => {
  const button = form.querySelector('button');
  button.disabled = true;
  show(form, {});
  try {
    const answer = await fetch(form.dataset.endpoint, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify(body),
      credentials: 'omit',
      referrerPolicy: 'no-referrer',
    });
    if (answer.ok) return answer;
    show(form, await complaints(answer, 'token' in body));
  } catch {
    show(form, { '': 'The server cannot be reached. Check the connection and try again.' });
  } finally {
    button.disabled = false;
  }
  return undefined;
};

/** Returns a message for each required field that is empty, before anything is sent. */
const missing = (form) => {
  const found = {};
  for (const input of form.querySelectorAll('input[required]')) {
    if (!input.closest('[hidden]') && !input.value.trim()) found[input.name] = 'Please fill in this field.';
  }
  return found;
};

const proof = byId('proof');
if (token || typed) byId('todo').hidden = false;
else byId('lost').hidden = false;
if (token && typed) typed.hidden = true;

// Without a link, a new password begins with a mail: open the form that requests it.
if (!token && byId('password')?.name === 'new_password') byId('again').open = true;

byId('show')?.addEventListener('change', ({ target }) => {
  byId('password').type = target.checked ? 'text' : 'password';
});

proof.addEventListener('submit', async (event) => {
  event.preventDefault();
  const lacking = missing(proof);
  if (Object.keys(lacking).length > 0) return show(proof, lacking);
  const useToken = token && !deadLink;
  const body = useToken
    ? { token }
    : { email: byId('email').value.trim(), code: byId('code').value.replace(/[\s-]/g, '') };
  const password = byId('password');
  if (password) body[password.name] = password.value;
  const answer = await send(proof, body);
  if (answer) {
    const { email } = answer.status === 200 ? await answer.json() : {};
    const done = byId('done');
    done.querySelector('strong').textContent = email ?? '';
    document.querySelector('h1').textContent = done.dataset.result;
    document.title = document.title.replace(/^.* –/, () => `${done.dataset.result} –`);
    byId('todo').hidden = true;
    done.hidden = false;
    done.focus();
  } else if (deadLink && typed) {
    typed.hidden = false;
  }
});

byId('again')?.querySelector('form').addEventListener('submit', async (event) => {
  event.preventDefault();
  const form = event.currentTarget;
  const lacking = missing(form);
  if (Object.keys(lacking).length > 0) return show(form, lacking);
  const email = byId('again-email').value.trim();
  if (await send(form, { email })) {
    form.querySelector('[role=status]').textContent =
      'If there is an account that needs it, an email with a link and a code is on its way.';
    if (typed) {
      // The new mail replaces this link.
      deadLink = true;
      typed.hidden = false;
      show(proof, {});
      byId('email').value ||= email;
    }
  }
});
