import { logIn, makeUpAccount } from './shared.mjs';

const namesAddress = () =>
  pm.test('names the address', () => pm.expect(body).to.eql({ email: pm.variables.get('email') }));

const WRONG_TOKEN = { token: 'not-a-token' };
const UNKNOWN_ADDRESS = { email: 'nobody-{{$randomUUID}}@example.com' };

const wrongToken = (call, about, rest = {}) => ({
  call,
  when: 'a wrong token',
  about,
  body: { ...WRONG_TOKEN, ...rest },
  problem: 'invalid-code',
  at: ['/token', 'invalid'],
});

export const mail = {
  name: 'Email flows',
  about:
    'Confirm, recover and change. These requests need access to your mailbox; they read the mails of a development server on this computer by themselves. From any other, copy a code to `mail_code`, or the token of a link to `mail_token`; without it the request is skipped.',
  steps: [
    { call: 'resend_confirmation' },
    {
      call: 'resend_confirmation',
      when: 'an unknown address',
      about: 'The answer is the same, and nothing is mailed.',
      body: UNKNOWN_ADDRESS,
    },
    {
      call: 'confirm',
      onlyIf: { variable: 'email_is_confirmed', is: false, because: 'the address is confirmed' },
      mail: { what: 'code', to: '{{email}}', page: 'confirm' },
      keep: () => keep('email_is_confirmed', true),
      test: () => pm.test('names the address', () => pm.expect(body.email).to.include('@')),
    },
    wrongToken('confirm', 'The answer is the same as for an expired token.'),
    {
      call: 'confirm',
      when: 'neither token nor code',
      about: 'Send either `token`, or `email` and `code`.',
      body: { email: '{{email}}' },
      problem: 'validation-failed',
      at: ['/token', 'token-or-code'],
    },
    { call: 'forgot_password' },
    {
      call: 'forgot_password',
      when: 'an unknown address',
      about: 'The answer is the same, and nothing is mailed.',
      body: UNKNOWN_ADDRESS,
    },
    { call: 'reset_password', mail: { what: 'code', to: '{{email}}', page: 'reset-password' } },
    logIn({ when: 'after the reset', about: 'All sessions have ended, so new tokens are needed.' }),
    wrongToken('reset_password', 'The answer is the same as for a used token.', {
      new_password: 'a horse of another colour',
    }),
    {
      call: 'reset_password',
      when: 'a weak password',
      about: 'Does not use up the link.',
      body: { ...WRONG_TOKEN, new_password: 'password123' },
      problem: 'validation-failed',
      at: ['/new_password', 'common'],
    },
    { call: 'change_password' },
    { call: 'confirm_password_change', mail: { what: 'code', to: '{{email}}' } },
    logIn({ when: 'after the change of the password', about: 'All sessions have ended, so new tokens are needed.' }),
    {
      call: 'change_password',
      when: 'wrong current password',
      about: 'An access token alone is not enough.',
      change: { current_password: 'not the password' },
      problem: 'wrong-password',
    },
    {
      call: 'confirm_password_change',
      when: 'five digits',
      about: 'A code has six digits.',
      body: { code: '12345', new_password: 'a horse of another colour' },
      problem: 'validation-failed',
      at: ['/code', 'code'],
    },
    { call: 'change_email' },
    {
      call: 'confirm_email_change',
      mail: { what: 'code', to: 'new-{{email}}', page: 'confirm-email-change' },
      test: () =>
        pm.test('names the address', () =>
          pm.expect(body).to.eql({ email: `new-${pm.variables.get('email')}` }),
        ),
    },
    { call: 'undo_email_change', mail: { what: 'token', to: '{{email}}', page: 'undo-email-change' }, test: namesAddress },
    logIn({ when: 'after the undo', about: 'All sessions have ended, so new tokens are needed.' }),
    {
      call: 'change_email',
      when: 'the same address',
      about: 'The new address must differ from the current one.',
      change: { new_email: '{{email}}' },
      problem: 'validation-failed',
      at: ['/new_email', 'unchanged'],
    },
    wrongToken('confirm_email_change', 'The answer is the same as for an expired token.'),
    wrongToken('undo_email_change', 'The right token is in the mail to the old address and is valid for 7 days.'),
    { call: 'unlock_login', body: { token: '{{unlock_token}}' } },
    wrongToken('unlock_login', 'All invalid tokens get this answer.'),
    wrongToken('end_mailed_session', 'The right token is in the mail about a log-in from a new device.'),
    wrongToken('accept_invitation', 'The right token is in the mail that an invited person gets.', {
      new_password: 'a horse of another colour',
    }),
    wrongToken('restore_account', 'The right token is in the mail about the deleted account.'),
  ],
};

export const confirmation = {
  name: 'Where confirmation is required',
  about: 'For a server with `REQUIRE_CONFIRMATION=on`; otherwise these requests are skipped.',
  testsOnly: true,
  onlyIf: { variable: 'confirmation_is_required', because: 'this server creates accounts without confirmation' },
  steps: [
    {
      call: 'register',
      when: 'to be confirmed',
      about: 'New and known addresses get the same answer. The account exists once it is confirmed.',
      before: makeUpAccount,
      status: 202,
    },
    {
      call: 'login',
      when: 'not confirmed yet',
      about: 'Only with the right password does the answer say that the address must be confirmed.',
      problem: 'email-unconfirmed',
    },
    {
      call: 'confirm',
      when: 'the registration',
      about: 'Send the code of the mail and the password that was registered. The registration becomes the account.',
      mail: { what: 'code', to: '{{email}}' },
      test: namesAddress,
    },
    logIn({ when: 'confirmed', about: 'The confirmed account can log in.' }),
  ],
};
