'use strict';

const byId = (id) => document.getElementById(id);
const typed = byId('typed');

// Out of the address at once, so that it is neither in the history nor on a screenshot.
const token = new URLSearchParams(location.hash.slice(1)).get('token');
if (location.hash) history.replaceState(null, '', location.pathname + location.search);

// Another link in the same tab changes the fragment alone, so nothing would be loaded.
addEventListener('hashchange', () => location.reload());

/** Whether the server has refused the token: then the code of another mail may be right. */
let deadLink = false;

const sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? '' : '.');

const inWords = (seconds) => {
  const [count, unit] =
    seconds < 90 ? [seconds, 'second']
    : seconds < 90 * 60 ? [Math.ceil(seconds / 60), 'minute']
    : [Math.ceil(seconds / 3600), 'hour'];
  return `${count} ${unit}${count === 1 ? '' : 's'}`;
};

/** What went wrong, in sentences, by the name of the field to blame ('' for none). */
const complaints = async (answer, byToken) => {
  const problem = await answer.json().catch(() => ({}));
  if (answer.status === 429 || answer.status === 503) {
    const wait = inWords(Number(answer.headers.get('Retry-After')) || 1);
    return { '': `${sentence(problem.title ?? 'That did not work')} Try again in ${wait}.` };
  }
  if (problem.code === 'invalid-code') {
    deadLink ||= byToken && typed !== null;
    const another = byId('again') ? 'ask for another mail' : 'ask for the change once more in your account';
    return { '': byToken
      ? `This link has expired or was used already.${typed ? ` ${sentence(another)}` : ''}`
      : `The code or the address is wrong, or the code has expired. Check both, or ${another}.` };
  }
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

/** Posts; resolves to the answer if it is a success. */
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

/** What is missing, before anything is sent. */
const missing = (form) => {
  const found = {};
  for (const input of form.querySelectorAll('input[required]')) {
    if (!input.closest('[hidden]') && !input.value.trim()) found[input.name] = 'This is needed.';
  }
  return found;
};

const proof = byId('proof');
if (token || typed) byId('todo').hidden = false;
else byId('lost').hidden = false;
if (token && typed) typed.hidden = true;

// Who comes to the page for a new password without a link wants a mail first.
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
      'If there is something to mail, it is on its way. It has a link and a code.';
    if (typed) {
      // The new mail replaces this link.
      deadLink = true;
      typed.hidden = false;
      show(proof, {});
      byId('email').value ||= email;
    }
  }
});
