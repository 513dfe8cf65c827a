// Scripts that several requests use.

/** Makes up an account, so that the collection can be run again and again. */
export const makeUpAccount = () => {
  // Another account each time.
  const random = pm.variables.replaceIn('{{$randomUUID}}').slice(0, 13);
  keep('email', `ada-${random}@example.com`);
  keep('password', `correct horse ${random}`);
  keep('username', `ada.${random}`);
  keep('email_is_confirmed', false);
  keep('has_username', false);
};

export const isTokenPair = () => {
  pm.test('is a pair of tokens', () => {
    pm.expect(body.token_type).to.eql('Bearer');
    pm.expect(body.access_token.split('.')).to.have.lengthOf(3);
    pm.expect(body.refresh_token.split('.')).to.have.lengthOf(3);
    pm.expect(body.expires_in).to.be.above(0);
    pm.expect(body.refresh_expires_in).to.be.above(body.expires_in);
  });
  pm.test('is not stored by caches', () => pm.expect(pm.response.headers.get('Cache-Control')).to.eql('no-store'));
};

export const keepTokens = () => {
  keep('access_token', body.access_token);
  keep('refresh_token', body.refresh_token);
  keep('access_token_expires_at', Date.now() + body.expires_in * 1000);
};

const unconfirmed = {
  code: 'email-unconfirmed',
  because: 'this server wants the address to be confirmed first; copy the code of its mail to mail_code',
};

/** A log-in with the account of this run, from which on its tokens are used. */
export const logIn = (step) => ({
  call: 'login',
  shown: true,
  skipIf: unconfirmed,
  test: isTokenPair,
  keep: keepTokens,
  ...step,
});

export const hasEntityTag = () =>
  pm.test('has an entity tag', () => pm.expect(pm.response.headers.get('ETag')).to.match(/^"\d+"$/));

export const keepEntityTag = () => keep('etag', pm.response.headers.get('ETag'));

export const UNKNOWN_ID = '00000000-0000-7000-8000-000000000000';
