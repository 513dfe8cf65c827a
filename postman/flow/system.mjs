const isPage = () =>
  pm.test('is a page that loads nothing from elsewhere', () => {
    pm.expect(pm.response.headers.get('Content-Security-Policy')).to.include("default-src 'none'");
  });

export const system = {
  name: 'System',
  about: 'Health, signing keys and documentation. These requests need no token.',
  token: null,
  steps: [
    { call: 'healthz', test: () => pm.test('is alive', () => pm.expect(body).to.eql({ status: 'ok' })) },
    {
      call: 'readyz',
      test: () => pm.test('is ready', () => pm.expect(body).to.include({ status: 'ready', database: 'up' })),
    },
    {
      call: 'jwks',
      test: () => {
        pm.test('holds public keys only', () => {
          pm.expect(body.keys).to.be.an('array').that.is.not.empty;
          for (const key of body.keys) {
            pm.expect(key.kty).to.be.oneOf(['OKP', 'EC', 'RSA']);
            pm.expect(key.use).to.eql('sig');
            pm.expect(key).to.not.have.any.keys('d', 'p', 'q', 'k');
          }
        });
        pm.test('may be cached', () =>
          pm.expect(pm.response.headers.get('Cache-Control')).to.match(/^public, max-age=/),
        );
      },
    },
    { call: 'oauth_metadata' },
    {
      call: 'start_page',
      test: () => pm.test('links to the documentation', () => pm.expect(body.links.openapi).to.match(/\/openapi\.json$/)),
    },
    { call: 'version', test: () => pm.test('names the program', () => pm.expect(body.name).to.eql('mintage')) },
    { call: 'favicon' },
    { call: 'security_txt', name: 'Where to report vulnerabilities (404 unless SECURITY_CONTACT is set)', anyOf: [200, 404] },
    {
      call: 'security_txt',
      when: 'no contact is set',
      about: 'With `SECURITY_CONTACT` it is a text (RFC 9116).',
      problem: 'not-found',
    },
    { call: 'change_password_page', status: 303 },
    {
      call: 'openapi_json',
      name: 'OpenAPI document',
      test: () =>
        pm.test('is OpenAPI 3.1', () => {
          pm.expect(body.openapi).to.match(/^3\.1\./);
          pm.expect(body.info.title).to.eql('Mintage');
          pm.expect(body.paths).to.include.keys('/api/v1/coins', '/api/v1/auth/login');
        }),
    },
    {
      call: 'openapi_30_json',
      name: 'OpenAPI document in 3.0',
      test: () => pm.test('is OpenAPI 3.0', () => pm.expect(body.openapi).to.match(/^3\.0\./)),
    },
    {
      call: 'postman_json',
      test: () =>
        pm.test('is a collection for this server', () => {
          pm.expect(body.info.name).to.eql('Mintage');
          pm.expect(body.variable[0].key).to.eql('base_url');
          pm.expect(pm.response.headers.get('Access-Control-Allow-Origin')).to.eql('*');
        }),
    },
    {
      call: 'problem_pages',
      test: () =>
        pm.test('lists the problems', () => {
          pm.expect(pm.response.text()).to.include('<code>email-taken</code>').and.include('<code>token-revoked</code>');
        }),
    },
    {
      call: 'problem_page',
      test: () =>
        pm.test('is the page of that problem', () => {
          pm.expect(pm.response.text())
            .to.include('<code>email-taken</code>')
            .and.not.include('<code>token-revoked</code>');
        }),
    },
    {
      call: 'problem_page',
      when: 'unknown code',
      about: 'No problem has this code.',
      path: { code: 'no-such-problem' },
      problem: 'not-found',
    },
  ],
};

export const pages = {
  name: 'Pages',
  about: 'Pages that links in mails open if no frontend is configured (`APP_URL`).',
  token: null,
  steps: [
    { call: 'confirm_page', test: isPage },
    { call: 'reset_password_page', test: isPage },
    { call: 'confirm_email_change_page', test: isPage },
    { call: 'undo_email_change_page', test: isPage },
    { call: 'unlock_login_page', test: isPage },
    { call: 'accept_invitation_page', test: isPage },
    { call: 'restore_account_page', test: isPage },
    { call: 'end_session_page', test: isPage },
    { call: 'end_alerts_page', test: isPage },
    { call: 'page_asset' },
    {
      call: 'page_asset',
      when: 'no such file',
      about: 'Only `flow.css` and `flow.js` exist.',
      path: { file: 'flow.html' },
      problem: 'not-found',
    },
  ],
};
