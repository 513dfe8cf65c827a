import { UNKNOWN_ID, hasEntityTag, isTokenPair } from './shared.mjs';

const notAnAdmin = (call, path) => ({
  call,
  when: 'not an admin',
  about: 'The token is valid, but this user is not an admin.',
  path,
  problem: 'forbidden',
});

const makeUpGuest = () => keep('guest_email', `guest-${pm.variables.replaceIn('{{$randomUUID}}')}@example.com`);
const isInvited = () => pm.test('is invited', () => pm.expect(body.status).to.eql('invited'));
const keepGuest = () => keep('guest_id', body.id);

const users = [
  {
    call: 'list_users',
    query: { limit: 1 },
    test: () =>
      pm.test('there is a next page', () => {
        pm.expect(body.data).to.have.lengthOf(1);
        pm.expect(body.next_cursor).to.be.a('string');
      }),
    keep: () => {
      keep('cursor', body.next_cursor);
      keep('first_user_id', body.data[0].id);
    },
  },
  {
    call: 'list_users',
    when: 'the next page',
    shown: true,
    about: 'Send the `next_cursor` of a page as `cursor` to get the next one.',
    query: { limit: 1, cursor: '{{cursor}}' },
    test: () =>
      pm.test('continues after the page before', () => {
        pm.expect(body.data).to.have.lengthOf(1);
        pm.expect(body.data[0].id).to.not.eql(pm.variables.get('first_user_id'));
      }),
  },
  {
    call: 'list_users',
    when: 'by address',
    shown: true,
    about: 'Exactly this address, in any spelling.',
    query: { email: '{{email}}' },
    test: () =>
      pm.test('finds the account of this run', () => {
        pm.expect(body.data.map((user) => user.id)).to.eql([pm.variables.get('user_id')]);
        pm.expect(body.next_cursor).to.be.null;
      }),
  },
  {
    call: 'list_users',
    when: 'by role and start',
    about: 'The start of an email address, a username or a name.',
    query: { role: 'user', q: 'ada' },
    test: () =>
      pm.test('finds only what matches', () => {
        pm.expect(body.data).to.not.be.empty;
        for (const user of body.data) {
          pm.expect(user.role).to.eql('user');
          const starts = (text) => text !== null && text.toLowerCase().startsWith('ada');
          pm.expect([user.email, user.username, user.name].some(starts)).to.be.true;
        }
      }),
  },
  {
    call: 'export_users_csv',
    query: { email: '{{email}}' },
    test: () =>
      pm.test('has a heading and the account of this run', () => {
        const lines = pm.response.text().split('\r\n');
        pm.expect(lines[0]).to.match(/^id,email,/);
        pm.expect(lines).to.have.lengthOf(3);
      }),
  },
  { call: 'export_users_ndjson', query: { email: '{{email}}' } },
  {
    call: 'list_users',
    when: 'not a cursor',
    about: 'Cursors come from `next_cursor`.',
    query: { cursor: 2 },
    problem: 'malformed-query',
    at: ['/cursor', 'query'],
  },
  {
    call: 'read_user',
    path: { id: '{{user_id}}' },
    test: [
      () =>
        pm.test('is that user', () => {
          pm.expect(body).to.include({ id: pm.variables.get('user_id'), email: pm.variables.get('email') });
        }),
      hasEntityTag,
    ],
  },
  {
    call: 'read_user',
    when: 'unknown',
    about: 'No account has this id.',
    path: { id: UNKNOWN_ID },
    problem: 'not-found',
  },
  { call: 'read_user', when: 'not an id', about: 'Ids are UUIDs.', path: { id: 'ada' }, problem: 'malformed-path' },
  { call: 'list_user_sessions', path: { id: '{{user_id}}' } },
  { call: 'delete_avatar', path: { id: '{{user_id}}' } },
  {
    call: 'invite_user',
    about: 'The same `Idempotency-Key` with the same body gets the same answer for 24 hours.',
    before: makeUpGuest,
    body: { email: '{{guest_email}}', name: 'Grace Hopper' },
    test: isInvited,
    keep: keepGuest,
  },
  {
    call: 'invite_user',
    when: 'twice',
    about: 'The address has an account.',
    body: { email: '{{guest_email}}' },
    problem: 'email-taken',
    at: ['/email', 'taken'],
  },
  {
    call: 'import_users',
    query: { dry_run: true },
    text: { type: 'text/csv', body: 'email,name\r\ngrace@example.com,Grace Hopper\r\n' },
    status: 200,
    test: () => pm.test('is a dry run', () => pm.expect(body.dry_run).to.be.true),
  },
  {
    call: 'import_users',
    when: 'not a file',
    about: 'Send `text/csv` with a heading, or `application/x-ndjson`. `dry_run=true` keeps nothing.',
    problem: 'unsupported-media-type',
  },
  { call: 'send_confirmation', path: { id: '{{guest_id}}' } },
  { call: 'start_password_reset', path: { id: '{{guest_id}}' } },
  {
    call: 'change_user',
    name: 'Disable a user',
    about: 'The sessions end, and a log-in gets a 403.',
    path: { id: '{{guest_id}}' },
    body: { disabled: true, disabled_reason: 'an example' },
    test: () => pm.test('is disabled', () => pm.expect(body.status).to.eql('disabled')),
  },
  {
    call: 'change_user',
    when: 'enable',
    shown: true,
    about: 'The account can be used again.',
    path: { id: '{{guest_id}}' },
    body: { disabled: false },
    test: () => pm.test('is enabled', () => pm.expect(body.status).to.eql('invited')),
  },
  { call: 'end_user_sessions', path: { id: '{{guest_id}}' } },
  { call: 'delete_user', path: { id: '{{guest_id}}' } },
  {
    call: 'restore_user',
    path: { id: '{{guest_id}}' },
    test: () => pm.test('is restored', () => pm.expect(body.status).to.eql('invited')),
  },
  { call: 'delete_user', when: 'again', about: 'It is purged after 14 days.', path: { id: '{{guest_id}}' } },
  {
    call: 'invite_user',
    when: 'to accept the invitation',
    shown: true,
    about: 'The mail has a link with a token.',
    before: makeUpGuest,
    body: { email: '{{guest_email}}' },
    test: isInvited,
    keep: keepGuest,
  },
  {
    call: 'accept_invitation',
    body: { token: '{{mail_token}}', new_password: 'a horse of another colour' },
    mail: { what: 'token', to: '{{guest_email}}', page: 'accept-invitation' },
  },
  {
    call: 'delete_user',
    when: 'the invited one',
    shown: true,
    about: 'Deletes the account of the invitation.',
    path: { id: '{{guest_id}}' },
  },
];

const events = [
  { call: 'export_events', query: { user_id: '{{guest_id}}' } },
  {
    call: 'list_events',
    query: { user_id: '{{guest_id}}' },
    test: () =>
      pm.test('names what was done to the guest, the newest first', () => {
        pm.expect(body.data.map((event) => event.kind)).to.include.members(['user-invited', 'user-deleted']);
      }),
  },
];

const gateways = [
  {
    call: 'create_api_key',
    when: 'for a gateway',
    shown: true,
    about: 'Only admins can create a key that may introspect tokens.',
    body: { name: 'Gateway', scopes: ['tokens:introspect'] },
    keep: () => keep('gateway_key', body.key),
  },
  {
    call: 'introspect_token',
    token: '{{gateway_key}}',
    body: { token: '{{admin_access_token}}' },
    test: () => pm.test('is active', () => pm.expect(body).to.include({ active: true, token_type: 'Bearer' })),
  },
  { call: 'revoke_token', body: { token: '{{gateway_key}}' } },
];

const sync = [
  {
    call: 'read_sync',
    test: () =>
      pm.test('lists the state of each provider', () => {
        for (const provider of body.providers) {
          pm.expect(provider.state).to.be.oneOf(['ready', 'waiting', 'stopped']);
        }
      }),
  },
  {
    call: 'run_sync',
    name: 'Sync coins now (202, or 409 with demonstration data only)',
    anyOf: [202, 409, 429],
    test: () => {
      const answer = pm.response.json();
      if (pm.response.code === 202) pm.test('names the slot', () => pm.expect(answer.slot).to.be.a('string'));
      if (pm.response.code === 409) pm.test('says why', () => pm.expect(answer.code).to.equal('sync-off'));
    },
  },
];

const jobs = [
  {
    call: 'list_jobs',
    query: { state: 'dead', limit: 10 },
    keep: () => keep('dead_job_id', body.data[0]?.id ?? ''),
  },
  { call: 'retry_job', path: { id: '{{dead_job_id}}' } },
  {
    call: 'list_jobs',
    when: 'an unknown state',
    about: 'Finished jobs are deleted, so this state does not exist.',
    query: { state: 'done' },
    problem: 'malformed-query',
    at: ['/state', 'query'],
  },
  {
    call: 'retry_job',
    when: 'unknown',
    about: 'The job does not exist; it may have finished.',
    path: { id: UNKNOWN_ID },
    problem: 'not-found',
  },
];

const asAdmin = (name, about, steps) => ({
  name,
  about: `${about} For admins: without one these requests are skipped.`,
  token: '{{admin_access_token}}',
  steps,
});

export const administration = {
  name: 'Administration',
  about:
    'For admins. Create one with `mintage create-admin --email …`, then set `admin_email` and `admin_password`. Without them these requests are skipped.',
  steps: [
    notAnAdmin('list_users'),
    { ...notAnAdmin('read_user', { id: '{{user_id}}' }), about: 'To read your own account, use `GET /api/v1/user`.' },
    notAnAdmin('read_sync'),
    notAnAdmin('list_jobs'),
    notAnAdmin('retry_job', { id: UNKNOWN_ID }),
    {
      call: 'login',
      when: 'as an admin',
      shown: true,
      about: 'Stores the tokens of the admin apart from yours.',
      body: { email: '{{admin_email}}', password: '{{admin_password}}' },
      test: isTokenPair,
      keep: () => {
        keep('admin_access_token', body.access_token);
        keep('admin_refresh_token', body.refresh_token);
        keep('admin_access_token_expires_at', Date.now() + body.expires_in * 1000);
      },
    },
    asAdmin('Users', 'All accounts.', users),
    asAdmin('Audit trail', 'Security events.', events),
    asAdmin('Jobs', 'Work in the background.', jobs),
    asAdmin('Market data', 'The sync with the providers.', sync),
    asAdmin('Gateways', 'Introspection and revocation of tokens (RFC 7662, RFC 7009).', gateways),
  ],
};
