import { UNKNOWN_ID, hasEntityTag, isTokenPair } from './shared.mjs';

const notAnAdmin = (call, path) => ({
  call,
  when: 'not an admin',
  about: 'The token is valid, but this user is not an admin.',
  path,
  problem: 'forbidden',
});

const skipWithoutAdmin = () => {
  if (!pm.environment.get('admin_email')) {
    pm.execution.skipRequest();
  }
};

export const users = {
  name: 'users',
  about: 'All accounts, for admins.',
  steps: [
    notAnAdmin('list_users'),
    { ...notAnAdmin('read_user', { id: '{{user_id}}' }), about: 'To read your own account, use `GET /api/v1/user`.' },
    notAnAdmin('read_sync'),
    {
      name: 'as an admin',
      about:
        'Needs `admin_email` and `admin_password` of an admin in the environment; create one with `mintage create-admin`. Without them these requests are skipped.',
      token: '{{admin_access_token}}',
      before: skipWithoutAdmin,
      steps: [
        {
          call: 'login',
          when: 'as an admin',
          about: 'Stores the access token of the admin apart from yours.',
          body: { email: '{{admin_email}}', password: '{{admin_password}}' },
          test: [isTokenPair, () => pm.environment.set('admin_access_token', body.access_token)],
        },
        {
          call: 'list_users',
          query: { limit: 1 },
          test: () => {
            pm.test('there is a next page', () => {
              pm.expect(body.data).to.have.lengthOf(1);
              pm.expect(body.next_cursor).to.be.a('string');
            });
            pm.environment.set('cursor', body.next_cursor);
            pm.environment.set('first_user_id', body.data[0].id);
          },
        },
        {
          call: 'list_users',
          when: 'the next page',
          about: 'Send the `next_cursor` of a page as `cursor` to get the next one.',
          query: { limit: 1, cursor: '{{cursor}}' },
          test: () =>
            pm.test('continues after the page before', () => {
              pm.expect(body.data).to.have.lengthOf(1);
              pm.expect(body.data[0].id).to.not.eql(pm.environment.get('first_user_id'));
            }),
        },
        {
          call: 'list_users',
          when: 'by address',
          about: 'Exactly this address, in any spelling.',
          query: { email: '{{email}}' },
          test: () =>
            pm.test('finds the account of this run', () => {
              pm.expect(body.data.map((user) => user.id)).to.eql([pm.environment.get('user_id')]);
              pm.expect(body.next_cursor).to.be.null;
            }),
        },
        {
          call: 'list_users',
          when: 'by role and start',
          about: 'The start of an e-mail address, a username or a name.',
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
                pm.expect(body).to.include({ id: pm.environment.get('user_id'), email: pm.environment.get('email') });
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
          before: () => pm.environment.set('guest_email', `guest-${pm.variables.replaceIn('{{$randomUUID}}')}@example.com`),
          body: { email: '{{guest_email}}', name: 'Grace Hopper' },
          test: () => {
            pm.test('is invited', () => pm.expect(body.status).to.eql('invited'));
            pm.environment.set('guest_id', body.id);
          },
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
          when: 'not a file',
          about: 'Send `text/csv` with a heading, or `application/x-ndjson`. `dry_run=true` keeps nothing.',
          problem: 'unsupported-media-type',
        },
        { call: 'send_confirmation', path: { id: '{{guest_id}}' } },
        { call: 'start_password_reset', path: { id: '{{guest_id}}' } },
        {
          call: 'change_user',
          when: 'disable',
          about: 'The sessions end, and a log-in gets a 403.',
          path: { id: '{{guest_id}}' },
          body: { disabled: true, disabled_reason: 'an example' },
          test: () => pm.test('is disabled', () => pm.expect(body.status).to.eql('disabled')),
        },
        {
          call: 'change_user',
          when: 'enable',
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
          call: 'export_events',
          query: { user_id: '{{guest_id}}' },
        },
        {
          call: 'list_events',
          query: { user_id: '{{guest_id}}' },
          test: () =>
            pm.test('names what was done to the guest, the newest first', () => {
              pm.expect(body.data.map((event) => event.kind)).to.include.members(['user-invited', 'user-deleted']);
            }),
        },
        {
          call: 'create_api_key',
          when: 'for a gateway',
          about: 'Only admins can create a key that may introspect tokens.',
          body: { name: 'Gateway', scopes: ['tokens:introspect'] },
          test: () => pm.environment.set('gateway_key', body.key),
        },
        {
          call: 'introspect_token',
          token: '{{gateway_key}}',
          body: { token: '{{admin_access_token}}' },
          test: () => pm.test('is active', () => pm.expect(body).to.include({ active: true, token_type: 'Bearer' })),
        },
        { call: 'revoke_token', body: { token: '{{gateway_key}}' } },
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
          // 409 if only demonstration data is configured.
          anyOf: [202, 409, 429],
          test: () => {
            const answer = pm.response.json();
            if (pm.response.code === 202) pm.test('names the slot', () => pm.expect(answer.slot).to.be.a('string'));
            if (pm.response.code === 409) pm.test('says why', () => pm.expect(answer.code).to.equal('sync-off'));
          },
        },
      ],
    },
  ],
};

export const jobs = {
  name: 'jobs',
  about: 'Work in the background, for admins.',
  steps: [
    notAnAdmin('list_jobs'),
    notAnAdmin('retry_job', { id: UNKNOWN_ID }),
    {
      name: 'as an admin',
      about: 'Uses the token of the folder users; without an admin these requests are skipped.',
      token: '{{admin_access_token}}',
      before: skipWithoutAdmin,
      steps: [
        { call: 'list_jobs', query: { state: 'dead', limit: 10 } },
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
      ],
    },
  ],
};
