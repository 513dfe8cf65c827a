#!/usr/bin/env node
// Writes the Postman collections and their environment: the requests come from openapi/openapi.json, their order and
// what only a person can know from postman/flow.mjs.
//
//   mintage.postman_collection.json        for people, also served as /postman.json: each operation, with saved examples
//   mintage-tests.postman_collection.json  for CI: the same requests and those that are refused, with all checks
//   mintage.postman_environment.json       the variables of both
//
//   node postman/generate.mjs            writes them
//   node postman/generate.mjs --check    fails if the committed files differ
// Either fails if an operation has no request, or if the flow contradicts the document.
import { readFileSync, writeFileSync } from 'node:fs';
import { isDeepStrictEqual } from 'node:util';

import { document, exampleOf, operations, parameters } from './document.mjs';
import { examplesOf } from './examples.mjs';
import * as flow from './flow.mjs';
import {
  answers,
  event,
  expectedStatus,
  forgetMail,
  leaveOut,
  readMail,
  skipUnless,
  statements,
  testsOfProblem,
  testsOfSuccess,
  unlessRefused,
} from './scripts.mjs';

const faults = [];

// --- requests

const bearer = (token) => ({ type: 'bearer', bearer: [{ key: 'token', value: token, type: 'string' }] });
const authOf = (token) => (token === null ? { type: 'noauth' } : bearer(token));

/** What a parameter that is not sent could be; Postman shows it unticked. */
const offered = (parameter) => ({
  key: parameter.name,
  value: String(exampleOf(parameter) ?? ''),
  description: parameter.description ?? '',
  disabled: true,
});

/** What the flow sends, then (if nothing is special about the request) what else could be sent. */
const sent = (operation, where, values, isMain, fault) => {
  const known = parameters(operation, where);
  const given = Object.entries(values).map(([key, value]) => {
    const parameter = known.find((one) => one.name === key);
    if (!parameter && where === 'query') fault(`sends ${key}, which is not documented`);
    const description = isMain && parameter?.description ? { description: parameter.description } : {};
    return { key, value: String(value), ...description };
  });
  const others = isMain ? known.filter((one) => !Object.hasOwn(values, one.name)) : [];
  return [...given, ...others.map(offered)];
};

/** Postman fills `:name` in from its table of path variables. */
const urlOf = (operation, step, isMain, fault) => {
  const path = operation.path.replace(/\{(\w+)\}/g, ':$1').split('/').slice(1);
  const variable = parameters(operation, 'path').map((parameter) => {
    const { name, description } = parameter;
    const value = step.path?.[name] ?? exampleOf(parameter);
    if (value === undefined) fault(`needs a value for {${name}}: path: { ${name}: … }`);
    return { key: name, value: String(value), description: description ?? '' };
  });
  const query = sent(operation, 'query', step.query ?? {}, isMain, fault);
  const enabled = query.filter((one) => !one.disabled);
  const search = enabled.length > 0 ? `?${enabled.map(({ key, value }) => `${key}=${value}`).join('&')}` : '';
  return {
    raw: `{{base_url}}/${path.join('/')}${search}`,
    host: ['{{base_url}}'],
    path,
    ...(query.length > 0 ? { query } : {}),
    ...(variable.length > 0 ? { variable } : {}),
  };
};

const FORM = 'application/x-www-form-urlencoded';

const JSON_BODY = { raw: { language: 'json' } };

/** The body as Postman sends it, and its type. */
const bodyOf = (operation, step, fault) => {
  const content = operation.requestBody?.content;
  if (step.file) return { type: step.file, body: { mode: 'file', file: { src: null } } };
  if (step.text) return { type: step.text.type, body: { mode: 'raw', raw: step.text.body } };
  const type = ['application/json', FORM].find((one) => content?.[one]);
  if (!type) {
    if (step.body || step.change) fault('sends a body, which is not documented');
    return undefined;
  }
  const body = step.body === undefined ? documentedBody(content[type], step, fault) : step.body;
  if (!body) return undefined;
  return type === FORM
    ? { type, body: { mode: 'urlencoded', urlencoded: Object.entries(body).map(([key, value]) => ({ key, value })) } }
    : { type, body: { mode: 'raw', raw: JSON.stringify(body, null, 2), options: JSON_BODY } };
};

const documentedBody = (content, step, fault) => {
  const example = exampleOf(content);
  if (!example) {
    fault('needs a body, since its schema has no example');
    return undefined;
  }
  const filled = Object.entries(example).map(([name, value]) => [name, flow.values[name] ?? value]);
  return { ...Object.fromEntries(filled), ...step.change };
};

const requestOf = (operation, step, isMain, fault) => {
  const isPublic = operation.security?.length === 0;
  const token = isPublic ? null : step.token;
  const sentBody = bodyOf(operation, step, fault);
  const description = step.about ?? operation.description;
  if (!description) fault('has no description');
  return {
    method: operation.method,
    header: [
      ...sent(operation, 'header', step.headers ?? {}, isMain, fault),
      ...(sentBody ? [{ key: 'Content-Type', value: sentBody.type }] : []),
    ],
    ...(sentBody ? { body: sentBody.body } : {}),
    url: urlOf(operation, step, isMain, fault),
    ...(token === undefined ? {} : { auth: authOf(token) }),
    description,
  };
};

// --- scripts of a request

const lines = (scripts) => [scripts ?? []].flat().flatMap(statements);

const before = (step) => [
  ...(step.onlyIf ? skipUnless(step.onlyIf) : []),
  ...lines(step.before),
  ...(step.mail ? readMail(step.mail) : []),
];

/** For people: what is worth knowing at a glance, and what later requests send. */
const afterForPeople = (operation, step) => {
  const kept = [...lines(step.keep), ...(step.mail ? [forgetMail(step.mail)] : [])];
  const needsBody = kept.some((line) => /\bbody\b/.test(line));
  const expected = answers(...(step.anyOf ?? [expectedStatus(operation, step)]));
  return [
    ...(step.skipIf ? unlessRefused(step.skipIf, expected) : [expected]),
    ...(needsBody
      ? [
          'if (pm.response.code < 300 && pm.response.text()) {',
          '  const body = pm.response.json();',
          ...kept.map((line) => `  ${line}`),
          '}',
        ]
      : kept),
  ];
};

const afterForTests = (operation, step, fault) => {
  const generated = step.anyOf
    ? [answers(...step.anyOf)]
    : (step.problem ? testsOfProblem : testsOfSuccess)(operation, step, fault);
  return [...generated, ...lines(step.test), ...lines(step.keep), ...(step.mail ? [forgetMail(step.mail)] : [])];
};

// --- collections

/** `people` or `tests`: which steps a collection has, and what each of them looks like. */
const KINDS = {
  people: {
    has: (step) => !step.problem && (!step.when || step.shown),
    after: afterForPeople,
    examples: (operation, request, isMain) =>
      examplesOf(operation, request).filter(({ code }) => isMain || (code >= 200 && code < 300)),
  },
  tests: {
    has: (step) => !step.endless,
    after: afterForTests,
    examples: () => [],
  },
};

const nameOf = (step) => {
  const { summary } = operations.get(step.call) ?? {};
  return step.name ?? (step.when ? `${summary}: ${step.when}` : summary);
};

const itemOf = (kind, step, tokenOfFolder) => {
  const operation = operations.get(step.call);
  const fault = (text) => faults.push(`${step.call}${step.when ? ` (${step.when})` : ''} ${text}`);
  if (!operation) {
    fault('is no operation');
    return [];
  }
  const isMain = !step.when;
  // Scripts see the token of a request, not that of its folder.
  const request = requestOf(operation, { token: tokenOfFolder ?? undefined, ...step }, isMain, fault);
  return {
    name: nameOf(step),
    event: [
      ...event('prerequest', before(step), fault),
      ...event('test', kind.after(operation, step, fault), fault),
    ],
    // A redirect is the response to check, not the page behind it.
    ...(String(step.status).startsWith('3') ? { protocolProfileBehavior: { followRedirects: false } } : {}),
    request,
    response: kind.examples(operation, request, isMain),
  };
};

/** Makes runs continue behind a stream: with the script of the request before it. */
const leaveOutStreams = (steps, items) => {
  for (const [index, step] of steps.entries()) {
    if (!step.endless) continue;
    const previous = items[index - 1]?.event.find(({ listen }) => listen === 'test');
    if (!previous || !items[index + 1]?.request) faults.push(`${step.call} needs a request before and after it`);
    else previous.script.exec.push(...leaveOut(items[index].name, items[index + 1].name));
  }
};

const folderOf = (kind, { name, about, token, onlyIf, steps, testsOnly }) => {
  if (testsOnly && kind === KINDS.people) return [];
  const shown = steps.filter((step) => step.steps || kind.has(step));
  const items = shown.flatMap((step) => (step.steps ? folderOf(kind, step) : itemOf(kind, step, token)));
  if (items.length === shown.length) leaveOutStreams(shown, items);
  return {
    name,
    description: about,
    event: event('prerequest', onlyIf ? skipUnless(onlyIf) : [], (text) => faults.push(`${name} ${text}`)),
    item: items,
  };
};

const isSecret = (name) => flow.secrets.test(name);

const keptBy = (scripts) => [...lines(scripts).join('\n').matchAll(/keep\('(\w+)'/g)].map(([, name]) => name);

const stepsOf = (steps) => steps.flatMap((step) => (step.steps ? stepsOf(step.steps) : [step]));

/** What to do about a variable without a value: by default to send the request that stores it. */
const hints = {};
/** The variables that the script before a request makes up, by the name of the request. */
const madeUp = {};
for (const step of stepsOf(flow.folders)) {
  const before = keptBy(step.before);
  if (before.length > 0) madeUp[nameOf(step)] = before;
  for (const name of [...before, ...keptBy(step.keep)]) hints[name] ??= `send "${nameOf(step)}" first`;
}
Object.assign(hints, flow.hints);

const variables = [...new Set([...Object.keys(flow.variables), ...Object.keys(hints)])];

const collectionOf = (kind, { name, about, after }) => ({
  info: {
    name,
    description: about,
    schema: 'https://schema.getpostman.com/json/collection/v2.1.0/collection.json',
  },
  auth: bearer('{{access_token}}'),
  variable: variables.map((key) => ({ key, value: flow.variables[key] ?? '', type: 'string' })),
  event: [
    ...event(
      'prerequest',
      [
        `const hints = ${JSON.stringify(hints)};`,
        `const madeUp = ${JSON.stringify(madeUp)};`,
        ...statements(flow.beforeEach),
      ],
      (text) => faults.push(`${name} ${text}`),
    ),
    ...event('test', lines(after), (text) => faults.push(`${name} ${text}`)),
  ],
  item: flow.folders.flatMap((folder) => folderOf(kind, folder)),
});

const environment = {
  name: 'Mintage (local)',
  values: variables.map((key) => ({
    key,
    value: flow.variables[key] ?? '',
    type: isSecret(key) ? 'secret' : 'default',
    enabled: true,
  })),
  _postman_variable_scope: 'environment',
};

const files = {
  'mintage.postman_collection.json': collectionOf(KINDS.people, flow.people),
  'mintage-tests.postman_collection.json': collectionOf(KINDS.tests, flow.tests),
  'mintage.postman_environment.json': environment,
};

// --- what would only show when a person sends the requests

const requestsOf = (items) => items.flatMap((one) => (one.item ? requestsOf(one.item) : [one]));

const known = new Set(stepsOf(flow.folders).filter(KINDS.people.has).map(({ call }) => call));
for (const name of operations.keys()) {
  if (!known.has(name)) faults.push(`${name} has no request: add { call: '${name}' } to a folder in postman/flow/`);
}

for (const [, name] of JSON.stringify(files).matchAll(/\{\{(\w+)\}\}/g)) {
  if (!variables.includes(name)) {
    faults.push(`{{${name}}} is neither in \`variables\` or \`hints\` nor kept by a script`);
    variables.push(name);
  }
}

for (const { name, response } of requestsOf(files['mintage.postman_collection.json'].item)) {
  if (response.length === 0) faults.push(`"${name}" has no saved example: the document shows no response`);
}

// Runs find requests by their names.
for (const { info, item } of Object.values(files).filter((file) => file.item)) {
  const names = requestsOf(item).map(({ name }) => name);
  for (const name of new Set(names.filter((one, index) => names.indexOf(one) !== index))) {
    faults.push(`two requests of "${info.name}" have the name "${name}"`);
  }
}

const isCurrent = (file, content) => {
  try {
    return isDeepStrictEqual(JSON.parse(readFileSync(new URL(file, import.meta.url), 'utf8')), content);
  } catch {
    return false;
  }
};
const isCheck = process.argv.includes('--check');
for (const [file, content] of Object.entries(files)) {
  if (isCheck && faults.length === 0 && !isCurrent(file, content)) {
    faults.push(`postman/${file} is out of date: run node postman/generate.mjs`);
  }
}
if (faults.length > 0) {
  console.error([...new Set(faults)].map((fault) => `postman: ${fault}`).join('\n'));
  process.exit(1);
}
if (!isCheck) {
  for (const [file, content] of Object.entries(files)) {
    writeFileSync(new URL(file, import.meta.url), `${JSON.stringify(content, null, 2)}\n`);
  }
}

const counts = ['mintage.postman_collection.json', 'mintage-tests.postman_collection.json'].map(
  (file) => requestsOf(files[file].item).length,
);
console.log(`postman: ${counts[0]} requests for people and ${counts[1]} for tests cover all ${operations.size} operations`);
