import { hasEntityTag, isTokenPair, keepEntityTag, keepTokens, logIn, makeUpAccount } from './shared.mjs';

const keepAccount = () => keep('user_id', body.id);

export const gettingStarted = {
  name: 'Getting started',
  about:
    'Register an account, log in and look at the coins. **Log in** stores the tokens that all other requests send.',
  steps: [
    { call: 'read_registration', keep: () => keep('confirmation_is_required', body.confirmation) },
    {
      call: 'register',
      before: makeUpAccount,
      anyOf: [201, 202],
      keep: keepAccount,
      test: () => {
        const isCreated = pm.response.code === 201;
        pm.test('is created unless the address has to be confirmed', () => {
          pm.expect(isCreated).to.eql(String(pm.variables.get('confirmation_is_required')) !== 'true');
        });
        const body = isCreated ? pm.response.json() : {};
        if (isCreated) {
          pm.test('is the account', () => {
            const email = pm.variables.get('email');
            pm.expect(body).to.include({ email, name: 'Ada Lovelace', username: null, role: 'user' });
          });
          pm.test('says where the account is', () => {
            const location = pm.response.headers.get('Location');
            pm.expect(location).to.match(new RegExp(`^https?://.+/api/v1/users/${body.id}$`));
          });
        }
      },
    },
    {
      call: 'confirm',
      name: 'Confirm the address (only where that is required)',
      onlyIf: { variable: 'confirmation_is_required', because: 'this server creates accounts without confirmation' },
      mail: { what: 'code', to: '{{email}}', page: 'confirm' },
      keep: () => keep('email_is_confirmed', true),
    },
    logIn(),
    { call: 'read_me', name: 'See your account', keep: keepAccount },
    { call: 'list_coins', name: 'See the coins' },
    {
      call: 'register',
      when: 'the address is taken',
      about: 'Addresses are compared ignoring case.',
      problem: 'email-taken',
      at: ['/email', 'taken'],
    },
    {
      call: 'register',
      when: 'a weak password',
      about: '`errors` points to the field (RFC 6901) and gives the reason.',
      change: { password: 'password123' },
      problem: 'validation-failed',
      at: ['/password', 'common'],
    },
    {
      call: 'register',
      when: 'an unknown field',
      about: 'Unknown fields are refused, so a role cannot be requested.',
      change: { role: 'admin' },
      problem: 'validation-failed',
      at: ['/role', 'unknown-field'],
    },
    {
      call: 'login',
      when: 'wrong password',
      about: 'The answer does not reveal whether the account exists.',
      change: { password: 'not the password' },
      problem: 'invalid-credentials',
    },
    {
      call: 'login',
      when: 'email address and username',
      about: 'Only one of them may be given.',
      change: { username: '{{username}}' },
      problem: 'validation-failed',
      at: ['/email', 'email-or-username'],
    },
  ],
};

export const user = {
  name: 'Your account',
  about: 'The account of the access token, its picture, its security events and its data.',
  steps: [
    {
      call: 'read_me',
      test: [
        () =>
          pm.test('is the account', () => {
            pm.expect(body).to.include({ id: pm.variables.get('user_id'), email: pm.variables.get('email') });
          }),
        hasEntityTag,
      ],
      keep: [keepAccount, keepEntityTag, () => keep('email_is_confirmed', body.email_confirmed)],
    },
    {
      call: 'update_me',
      headers: { 'If-Match': '{{etag}}' },
      test: [
        () =>
          pm.test('is the changed account', () => {
            pm.expect(body).to.include({ name: 'Ada King', username: pm.variables.get('username') });
          }),
        hasEntityTag,
        () =>
          pm.test('has a new entity tag', () => {
            pm.expect(pm.response.headers.get('ETag')).to.not.eql(pm.variables.get('etag'));
          }),
      ],
      keep: [keepEntityTag, () => keep('has_username', true)],
    },
    {
      call: 'update_me',
      when: 'changed in the meantime',
      about: 'The entity tag is from before the last change.',
      headers: { 'If-Match': '"0"' },
      body: { name: 'Ada Byron' },
      problem: 'precondition-failed',
    },
    {
      call: 'update_me',
      when: 'If-Match is not an entity tag',
      about: 'An entity tag is quoted.',
      headers: { 'If-Match': 'nonsense' },
      body: { name: 'Ada Byron' },
      problem: 'malformed-header',
    },
    {
      call: 'update_me',
      when: 'the role',
      about: 'An account cannot change its own role.',
      body: { role: 'admin' },
      problem: 'validation-failed',
      at: ['/role', 'unknown-field'],
    },
    {
      call: 'replace_me',
      about: 'A field that is absent is cleared.',
      body: { name: 'Ada King', username: '{{username}}' },
      test: hasEntityTag,
      keep: keepEntityTag,
    },
    {
      call: 'update_me',
      when: 'null clears',
      about: 'A missing field stays as it is, null clears it (RFC 7396).',
      body: { name: null },
      test: [
        () =>
          pm.test('only the name is cleared', () => {
            pm.expect(body).to.include({ name: null, username: pm.variables.get('username') });
          }),
        hasEntityTag,
      ],
      keep: keepEntityTag,
    },
    {
      call: 'put_my_avatar',
      file: 'image/png',
      // Without a picture there is none to read.
      keep: () => keep('has_picture', pm.response.code === 200),
    },
    {
      call: 'put_my_avatar',
      when: 'not a picture',
      about: 'Send a PNG, JPEG, WebP or GIF file as the body, or as `file` of a form.',
      problem: 'unsupported-media-type',
    },
    {
      call: 'read_avatar',
      path: { id: '{{user_id}}' },
      onlyIf: { variable: 'has_picture', because: 'you have no picture; send "Set your profile picture" first' },
    },
    {
      call: 'read_avatar',
      when: 'no picture',
      about: 'Every user who is logged in can read the pictures of others.',
      path: { id: '{{user_id}}' },
      problem: 'not-found',
    },
    { call: 'delete_my_avatar', keep: () => keep('has_picture', '') },
    { call: 'list_my_events' },
    { call: 'export_me' },
  ],
};

export const signingIn = {
  name: 'Sign-in',
  about: 'Refresh the tokens. Before other requests that happens by itself, half a minute before they expire.',
  steps: [
    {
      call: 'refresh',
      before: () => keep('used_refresh_token', pm.variables.get('refresh_token')),
      test: [
        isTokenPair,
        () =>
          pm.test('the refresh token is a new one', () => {
            pm.expect(body.refresh_token).to.not.eql(pm.variables.get('used_refresh_token'));
          }),
      ],
      keep: keepTokens,
    },
    {
      call: 'refresh',
      when: 'the same token again',
      about: 'Two tabs can refresh at once: shortly after its use, a refresh token returns the same successor.',
      change: { refresh_token: '{{used_refresh_token}}' },
      test: [
        isTokenPair,
        () =>
          pm.test('the successor is the same', () => {
            pm.expect(body.refresh_token).to.eql(pm.variables.get('refresh_token'));
          }),
      ],
      keep: keepTokens,
    },
    {
      call: 'refresh',
      when: 'not a refresh token',
      about: 'An access token cannot be exchanged.',
      change: { refresh_token: '{{access_token}}' },
      problem: 'invalid-refresh-token',
    },
  ],
};

export const sessions = {
  name: 'Sessions',
  about: 'List where you are logged in and end a session.',
  steps: [
    logIn({
      when: 'on a second device',
      about: 'Starts another session, with the username this time.',
      onlyIf: { variable: 'has_username', because: 'the account has no username; send "Change your account" first' },
      body: { username: '{{username}}', password: '{{password}}', remember: true },
      keep: () => keep('second_access_token', body.access_token),
    }),
    {
      call: 'list_sessions',
      when: 'of the second device',
      shown: true,
      about: 'The same list; `current` is the session of the token.',
      token: '{{second_access_token}}',
      keep: () => keep('second_session_id', body.data.find((session) => session.current).id),
    },
    {
      call: 'list_sessions',
      test: () =>
        pm.test('lists both sessions', () => {
          const others = body.data.filter((session) => !session.current);
          pm.expect(body.data.length - others.length).to.eql(1);
          pm.expect(others.map(({ id }) => id)).to.include(pm.variables.get('second_session_id'));
        }),
    },
    { call: 'end_session', path: { id: '{{second_session_id}}' } },
    {
      call: 'end_session',
      when: 'again',
      about: 'The session no longer exists.',
      path: { id: '{{second_session_id}}' },
      problem: 'not-found',
    },
    {
      call: 'read_me',
      when: 'the session has ended',
      about: 'The access token of the second device is refused at once.',
      token: '{{second_access_token}}',
      problem: 'token-revoked',
    },
    logIn({
      when: 'from a new device',
      about: 'A log-in with a program that was not used before is mailed to a confirmed address.',
      headers: { 'User-Agent': 'Mozilla/5.0 (X11; Linux x86_64) Firefox/145.0' },
      keep: [],
    }),
    {
      call: 'end_mailed_session',
      onlyIf: {
        variable: 'email_is_confirmed',
        because: 'only a confirmed address gets the mail about a log-in from a new device',
      },
      mail: { what: 'token', to: '{{email}}', page: 'end-session' },
    },
  ],
};

export const apiKeys = {
  name: 'API keys',
  about: 'A key for a program: create, list, see its usage, revoke.',
  steps: [
    {
      call: 'create_api_key',
      test: () => pm.test('is a key', () => pm.expect(body.key).to.match(/^mtg_[0-9A-Za-z]{36}$/)),
      keep: () => {
        keep('api_key', body.key);
        keep('api_key_id', body.id);
      },
    },
    {
      call: 'list_api_keys',
      test: () => pm.test('lists the key without its secret', () => pm.expect(body.data[0]).to.not.have.property('key')),
    },
    {
      call: 'list_coins',
      when: 'with an API key',
      shown: true,
      about: 'A key is sent in place of an access token.',
      token: '{{api_key}}',
    },
    {
      call: 'read_me',
      when: 'with an API key without the scope',
      about: 'The key allows only what its scopes name.',
      token: '{{api_key}}',
      problem: 'insufficient-scope',
    },
    { call: 'read_api_key_usage', path: { id: '{{api_key_id}}' } },
    { call: 'revoke_api_key', path: { id: '{{api_key_id}}' }, keep: () => keep('api_key_id', '') },
  ],
};

export const leaving = {
  name: 'Leaving',
  about: 'Log out and delete the account. Run last: the requests above need its tokens.',
  steps: [
    { call: 'logout' },
    {
      call: 'list_coins',
      when: 'logged out',
      about: 'The access token has not expired, but its session has ended.',
      problem: 'token-revoked',
    },
    {
      call: 'refresh',
      when: 'logged out',
      about: 'The refresh token of an ended session is refused.',
      problem: 'invalid-refresh-token',
    },
    { call: 'logout', when: 'again', about: 'Changes nothing. The body may be left out.', body: null },
    logIn({ when: 'to delete the account', about: 'Deleting the account needs a token.' }),
    {
      call: 'delete_me',
      when: 'wrong password',
      about: 'An access token alone is not enough.',
      change: { password: 'not the password' },
      problem: 'wrong-password',
    },
    { call: 'delete_me' },
    { call: 'read_me', when: 'deleted', about: 'The sessions of the account have ended.', problem: 'token-revoked' },
    {
      call: 'login',
      when: 'deleted',
      about: 'The account no longer exists.',
      problem: 'invalid-credentials',
    },
    {
      call: 'restore_account',
      onlyIf: { variable: 'email_is_confirmed', because: 'only a confirmed address gets the mail that restores an account' },
      mail: { what: 'token', to: '{{email}}', page: 'restore-account' },
    },
    logIn({
      when: 'restored',
      about: 'The restored account can log in again.',
      onlyIf: { variable: 'email_is_confirmed', because: 'the account was not restored' },
    }),
    {
      call: 'delete_me',
      when: 'again',
      shown: true,
      about: 'Deletes the account again. It is purged after 14 days.',
      onlyIf: { variable: 'email_is_confirmed', because: 'the account was not restored' },
    },
  ],
};
