import { hasEntityTag, isTokenPair, logIn, makeUpAccount } from './shared.mjs';

export const gettingIn = {
  name: 'auth: getting in',
  about:
    'Register an account and log in. Log in stores the tokens in the environment; later requests send `{{access_token}}`.',
  steps: [
    { call: 'read_registration' },
    {
      call: 'register',
      before: makeUpAccount,
      test: () => {
        pm.test('is the account', () => {
          const email = pm.environment.get('email');
          pm.expect(body).to.include({ email, name: 'Ada Lovelace', username: null, role: 'user' });
        });
        pm.test('says where the account is', () => {
          pm.expect(pm.response.headers.get('Location')).to.match(new RegExp(`^https?://.+/api/v1/users/${body.id}$`));
        });
        pm.environment.set('user_id', body.id);
      },
    },
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
      when: 'e-mail address and username',
      about: 'Only one of them may be given.',
      change: { username: '{{username}}' },
      problem: 'validation-failed',
      at: ['/email', 'email-or-username'],
    },
    logIn(),
  ],
};

export const user = {
  name: 'user',
  about: 'The account of the access token.',
  steps: [
    {
      call: 'read_me',
      test: [
        () =>
          pm.test('is the account', () => {
            pm.expect(body).to.include({ id: pm.environment.get('user_id'), email: pm.environment.get('email') });
          }),
        hasEntityTag,
        () => pm.environment.set('etag', pm.response.headers.get('ETag')),
      ],
    },
    {
      call: 'put_my_avatar',
      when: 'not a picture',
      about: 'Send a PNG, JPEG, WebP or GIF file as the body, or as `file` of a form.',
      problem: 'unsupported-media-type',
    },
    {
      call: 'read_avatar',
      when: 'no picture',
      about: 'Every user who is logged in can read the pictures of others.',
      path: { id: '{{user_id}}' },
      problem: 'not-found',
    },
    { call: 'delete_my_avatar' },
    {
      call: 'update_me',
      headers: { 'If-Match': '{{etag}}' },
      test: [
        () =>
          pm.test('is the changed account', () => {
            pm.expect(body).to.include({ name: 'Ada King', username: pm.environment.get('username') });
          }),
        hasEntityTag,
        () =>
          pm.test('has a new entity tag', () => {
            pm.expect(pm.response.headers.get('ETag')).to.not.eql(pm.environment.get('etag'));
          }),
      ],
    },
    {
      call: 'update_me',
      when: 'changed in the meantime',
      about: 'The entity tag is from before the last change.',
      headers: { 'If-Match': '{{etag}}' },
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
    },
    { call: 'list_my_events' },
    { call: 'export_me' },
    {
      call: 'update_me',
      when: 'null clears',
      about: 'A missing field stays as it is, null clears it (RFC 7396).',
      body: { name: null },
      test: [
        () =>
          pm.test('only the name is cleared', () => {
            pm.expect(body).to.include({ name: null, username: pm.environment.get('username') });
          }),
        hasEntityTag,
      ],
    },
  ],
};

export const sessions = {
  name: 'sessions',
  about: 'Refresh a session, list where you are logged in and end a session.',
  steps: [
    {
      call: 'refresh',
      test: [
        isTokenPair,
        () => {
          pm.test('the refresh token is a new one', () => {
            pm.expect(body.refresh_token).to.not.eql(pm.environment.get('refresh_token'));
          });
          pm.environment.set('used_refresh_token', pm.environment.get('refresh_token'));
          pm.environment.set('refresh_token', body.refresh_token);
        },
      ],
    },
    {
      call: 'refresh',
      when: 'the same token again',
      about: 'Two tabs can refresh at once: shortly after its use, a refresh token returns the same successor.',
      change: { refresh_token: '{{used_refresh_token}}' },
      test: [
        isTokenPair,
        () => {
          pm.test('the successor is the same', () => {
            pm.expect(body.refresh_token).to.eql(pm.environment.get('refresh_token'));
          });
          pm.environment.set('access_token', body.access_token);
        },
      ],
    },
    {
      call: 'refresh',
      when: 'not a refresh token',
      about: 'An access token cannot be exchanged.',
      change: { refresh_token: '{{access_token}}' },
      problem: 'invalid-refresh-token',
    },
    {
      call: 'login',
      when: 'on a second device',
      about: 'Starts another session, with the username this time.',
      body: { username: '{{username}}', password: '{{password}}', remember: true },
      test: [isTokenPair, () => pm.environment.set('second_access_token', body.access_token)],
    },
    {
      call: 'list_sessions',
      test: () => {
        pm.test('lists both sessions', () => {
          pm.expect(body.data).to.have.lengthOf(2);
          pm.expect(body.data.filter((session) => session.current)).to.have.lengthOf(1);
        });
        pm.environment.set('second_session_id', body.data.find((session) => !session.current).id);
      },
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
  ],
};

export const apiKeys = {
  name: 'api-keys',
  about: 'A key for a program: create, list, see its usage, revoke.',
  steps: [
    {
      call: 'create_api_key',
      test: () => {
        pm.test('is a key', () => pm.expect(body.key).to.match(/^mtg_[0-9A-Za-z]{36}$/));
        pm.environment.set('api_key', body.key);
        pm.environment.set('api_key_id', body.id);
      },
    },
    {
      call: 'list_api_keys',
      test: () => pm.test('lists the key without its secret', () => pm.expect(body.data[0]).to.not.have.property('key')),
    },
    { call: 'list_coins', when: 'with an API key', about: 'A key is sent in place of an access token.', token: '{{api_key}}' },
    {
      call: 'read_me',
      when: 'with an API key without the scope',
      about: 'The key allows only what its scopes name.',
      token: '{{api_key}}',
      problem: 'insufficient-scope',
    },
    { call: 'read_api_key_usage', path: { id: '{{api_key_id}}' } },
    { call: 'revoke_api_key', path: { id: '{{api_key_id}}' } },
  ],
};

export const gettingOut = {
  name: 'auth: getting out',
  about: 'Log out, and what is refused afterwards.',
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
  ],
};

export const leaving = {
  name: 'user: deleting the account',
  about: 'Deletes everything that this run has created.',
  steps: [
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
      test: () => {
        // These tokens are of no use any more.
        for (const name of [
          'access_token',
          'refresh_token',
          'used_refresh_token',
          'second_access_token',
          'admin_access_token',
        ]) {
          pm.environment.set(name, '');
        }
      },
    },
  ],
};
