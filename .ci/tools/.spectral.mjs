// Rules for the OpenAPI documents: Spectral's own and those of OWASP. Each exception says why it is no weakness.
import { readFileSync } from 'node:fs';

import { oas } from '@stoplight/spectral-rulesets';
import owasp from '@stoplight/spectral-owasp-ruleset';

/** A rule that looks only at these places. */
const only = (name, given) => ({ [name]: { ...owasp.rules[name], given } });

// Limits protect the server from what clients send. What it sends is bounded where it is made, and clients that check
// lengths would refuse an answer that a later version makes longer. The head of a request is limited as a whole.
const schemasOfRequests = (type) => [
  `$.paths[*][*].parameters[?(@.in !== 'header')].schema[?(@property === 'type' && @ === '${type}')]^`,
  `$.paths[*][*].requestBody.content[*].schema..[?(@property === 'type' && @ === '${type}')]^`,
];

// Members without a name could set what a client must not set. In answers they are maps, such as shares by symbol.
const mapsOfRequests = "$.paths[*][*].requestBody.content[*].schema..[?(@ && @.type == 'object' && @.additionalProperties)]";

// Without a token nothing has to be authenticated.
const withToken = '$.paths[*][?(@.security && @.security.length > 0)].responses';
// Pages and documents that are the same for all cost less than counting their readers. The other operations have limits.
const withLimit = "$.paths[?(@property.match(/^.(api|oauth)/))][?(@.security && @.security.length > 0 || @.requestBody)].responses";
// Without input nothing can be wrong with it.
const withInput = '$.paths[*][?(@.parameters || @.requestBody)].responses';

/** Operations that identify the caller by their body, such as a password or a code, or tell what holds for all. */
const PUBLIC = [
  '/api/v1/auth/register',
  '/api/v1/auth/login',
  '/api/v1/auth/login/unlock',
  '/api/v1/auth/refresh',
  '/api/v1/auth/registration',
  '/api/v1/auth/session/end',
  '/api/v1/alerts/end',
  '/api/v1/auth/confirm',
  '/api/v1/auth/confirm/resend',
  '/api/v1/auth/password/forgot',
  '/api/v1/auth/password/reset',
  '/api/v1/auth/invitation/accept',
  '/api/v1/auth/account/restore',
  '/api/v1/auth/email/change/confirm',
  '/api/v1/auth/email/change/undo',
  // The token in the body is what is revoked (RFC 7009, section 2.1).
  '/oauth/revoke',
];
// Outside the API there is nothing of a person: keys, health, documents, pages.
const { paths } = JSON.parse(readFileSync('openapi/openapi.json', 'utf8'));
const outside = Object.keys(paths).filter((path) => !/^.(api|oauth)./.test(path));
const pointer = (path) => path.replaceAll('~', '~0').replaceAll('/', '~1');
const inDocuments = (all) =>
  ['openapi.json', 'openapi-3.0.json'].flatMap((file) =>
    all.map((path) => `../../openapi/${file}#/paths/${encodeURI(pointer(path))}`),
  );

export default {
  extends: [oas, owasp],
  rules: {
    // Every installation serves this document: its contact would be the operator, not the authors.
    'info-contact': 'off',
    ...only('owasp:api4:2023-string-limit', schemasOfRequests('string')),
    // Names, searches and passwords are free text. What can have a pattern has one.
    'owasp:api4:2023-string-restricted': 'off',
    ...only('owasp:api4:2023-array-limit', schemasOfRequests('array')),
    ...only('owasp:api4:2023-integer-limit', schemasOfRequests('integer')),
    ...only('owasp:api4:2023-integer-limit-legacy', schemasOfRequests('integer')),
    ...only('owasp:api3:2023-no-additionalProperties', mapsOfRequests),
    ...only('owasp:api3:2023-constrained-additionalProperties', mapsOfRequests),
    ...only('owasp:api4:2023-rate-limit', `${withLimit}[?(@property.match(/^(2|4)/))]`),
    ...only('owasp:api4:2023-rate-limit-responses-429', withLimit),
    ...only('owasp:api8:2023-define-error-responses-401', withToken),
    ...only('owasp:api8:2023-define-error-validation', withInput),
    // `CORS_ORIGINS` decides, and the header depends on the `Origin` of the request. No cookies are used, so a page has no
    // rights without a token. See "Browsers" in docs/security.md.
    'owasp:api8:2023-define-cors-origin': 'off',
    // The rule takes only paths with /admin/ for those of admins. Ours have the scheme `admin` wherever they are, which
    // tests/api/app/authorization.rs checks for each.
    'owasp:api5:2023-admin-security-unique': 'off',
    // Only for introspection, where RFC 7662 and its clients use it with the random key of a program, never with a
    // person's password.
    'owasp:api2:2023-no-http-basic': 'off',
    // The committed document names a server on the reader's own computer. A running one names its own address, and
    // production refuses one without https that is not localhost.
    'owasp:api8:2023-no-server-http': 'off',
    // Whether an installation is internal is known to its operator.
    'owasp:api9:2023-inventory-access': 'off',
  },
  overrides: [
    {
      files: inDocuments([...PUBLIC, ...outside]),
      rules: { 'owasp:api2:2023-read-restricted': 'off', 'owasp:api2:2023-write-restricted': 'off' },
    },
    {
      // Their only input is `If-None-Match`, and a tag that is none is the tag of something else.
      files: inDocuments(['/openapi.json', '/openapi-3.0.json', '/postman.json']),
      rules: { 'owasp:api8:2023-define-error-validation': 'off' },
    },
    {
      // RFC 8058 has mail programs post to an address that identifies what to end. The token permits nothing else.
      files: inDocuments(['/end-alerts']),
      rules: { 'owasp:api2:2023-no-credentials-in-url': 'off' },
    },
  ],
};
