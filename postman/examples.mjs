// Saved examples of a request: what the OpenAPI document shows for each response that is particular to an operation.
import { STATUS_CODES } from 'node:http';

import { resolve } from './document.mjs';

/** The bodies that the document shows, with a name for each where there are several. */
const bodiesOf = ({ example, examples }) => {
  const named = Object.entries(examples ?? {}).map(([name, one]) => [name, resolve(one).value]);
  if (named.length > 0) return named;
  // Pictures have none.
  return [['', example ?? '']];
};

const PROBLEM = 'application/problem+json';

/** Problems that most operations can answer say nothing about one of them. Each has a page at /problems. */
const GENERAL = new Set([
  'insufficient-scope',
  'internal-error',
  'invalid-api-key',
  'invalid-token',
  'malformed-body',
  'malformed-header',
  'malformed-json',
  'malformed-path',
  'malformed-query',
  'missing-token',
  'payload-too-large',
  'request-timeout',
  'token-expired',
  'token-revoked',
  'too-many-requests',
  'unavailable',
  'unsupported-media-type',
]);

const LANGUAGES = [
  ['json', /json$/],
  ['html', /html$/],
  ['xml', /xml$/],
];

const isSent = ({ disabled }) => !disabled;
const pair = ({ key, value }) => ({ key, value });

/** The request that a response answers: without descriptions and what is not sent. */
const sentRequest = ({ method, header, body, url }) => ({
  method,
  header: header.filter(isSent).map(pair),
  ...(body ? { body } : {}),
  url: {
    ...url,
    ...(url.query ? { query: url.query.filter(isSent).map(pair) } : {}),
    ...(url.variable ? { variable: url.variable.map(pair) } : {}),
  },
});

/** What Postman shows next to the request. */
export const examplesOf = (operation, request) => {
  const originalRequest = sentRequest(request);
  return Object.entries(operation.responses).flatMap(([status, reference]) => {
    const response = resolve(reference);
    const base = { originalRequest, status: STATUS_CODES[status] ?? '', code: Number(status), cookie: [] };
    const media = Object.entries(response.content ?? {});
    if (media.length === 0) {
      return [{ name: `${status} ${base.status}`, ...base, _postman_previewlanguage: 'text', header: [], body: '' }];
    }
    return media.flatMap(([type, content]) =>
      bodiesOf(content)
        .filter(([name]) => type !== PROBLEM || !GENERAL.has(name))
        .map(([name, body]) => ({
          name: [status, name || (media.length > 1 ? type : base.status)].join(' '),
          ...base,
          _postman_previewlanguage: LANGUAGES.find(([, pattern]) => pattern.test(type))?.[0] ?? 'text',
          header: [{ key: 'Content-Type', value: type }],
          body: typeof body === 'string' ? body : JSON.stringify(body, null, 2),
        })),
    );
  });
};
