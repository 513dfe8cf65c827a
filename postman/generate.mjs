#!/usr/bin/env node
// Writes postman/mintage.postman_collection.json: the requests come from openapi/openapi.json, their order and
// what only a person can know from postman/flow.mjs.
//   node postman/generate.mjs            writes the collection
//   node postman/generate.mjs --check    fails if the committed collection differs
// Either fails if an operation has no request, or if the flow contradicts the document.
import { readFileSync, writeFileSync } from 'node:fs';
import { isDeepStrictEqual } from 'node:util';

import * as flow from './flow.mjs';

const COLLECTION = new URL('mintage.postman_collection.json', import.meta.url);
const read = (path) => JSON.parse(readFileSync(new URL(path, import.meta.url), 'utf8'));
const document = read('../openapi/openapi.json');
const environment = read('mintage.postman_environment.json');

const METHODS = ['get', 'put', 'post', 'delete', 'options', 'head', 'patch', 'trace'];
const operations = new Map(
  Object.entries(document.paths).flatMap(([path, item]) =>
    METHODS.filter((method) => item[method]).map((method) => [
      item[method].operationId,
      { method: method.toUpperCase(), path, ...item[method] },
    ]),
  ),
);

const faults = [];
const unused = new Set(operations.keys());

const resolve = (value) =>
  value?.$ref ? resolve(value.$ref.slice(2).split('/').reduce((node, key) => node[key], document)) : value;

const bearer = (token) => ({ type: 'bearer', bearer: [{ key: 'token', value: token, type: 'string' }] });
const authOf = (token) => (token === null ? { type: 'noauth' } : bearer(token));

// --- scripts

/** The statements of a function of the flow, which is never called here. */
const statements = (script) => {
  const text = script.toString();
  const block = /^\(\w*\) => \{\n([\s\S]*)\n\s*\}$/.exec(text)?.[1];
  const lines = (block ?? text.replace(/^\(\w*\) =>\s*/, '')).split('\n');
  const indented = lines.slice(block ? 0 : 1).filter((line) => line.trim());
  const margin = Math.min(...indented.map((line) => line.search(/\S/)), Infinity);
  const plain = lines.map((line, index) => (block || index > 0 ? line.slice(margin) : line));
  if (!block) plain[plain.length - 1] += ';';
  return plain;
};

const event = (listen, exec) => {
  try {
    new Function('pm', exec.join('\n'));
  } catch (error) {
    faults.push(`a script is not JavaScript: ${error.message}\n${exec.join('\n')}`);
  }
  return { listen, script: { type: 'text/javascript', exec } };
};

const events = ({ before, test }) => [
  ...(before ? [event('prerequest', statements(before))] : []),
  ...(test ? [event('test', test)] : []),
];

const quoted = (text) => `'${text.replace(/[\\']/g, '\\$&')}'`;

/** The members that an object of this schema has, and those it may have; undefined for anything else. */
const membersOf = (schema) => {
  const { allOf, anyOf, properties, required = [] } = resolve(schema) ?? {};
  if (anyOf) return membersOf(anyOf[0]);
  const parts = (allOf ?? []).map(membersOf);
  if (!properties && parts.length === 0) return undefined;
  return {
    required: [...parts.flatMap((part) => part.required), ...required],
    properties: Object.assign({}, ...parts.map((part) => part.properties), properties),
  };
};

const hasMembers = (value, { required, properties }) => {
  const list = (names) => names.map(quoted).join(', ');
  const all = Object.keys(properties);
  if (all.every((name) => required.includes(name))) return [`pm.expect(${value}).to.have.all.keys(${list(all)});`];
  return [
    ...(required.length > 0 ? [`pm.expect(${value}).to.include.all.keys(${list(required)});`] : []),
    `pm.expect([${list(all)}]).to.include.members(Object.keys(${value}));`,
  ];
};

/** That `body` has the documented members, and so have the objects in it. */
const testsOfMembers = (schema) => {
  const members = membersOf(schema);
  if (!members) return [];
  const checks = hasMembers('body', members);
  for (const [name, property] of Object.entries(members.properties)) {
    const items = property.type === 'array' ? membersOf(property.items) : undefined;
    const inner = property.$ref ? membersOf(property) : undefined;
    if (inner && members.required.includes(name)) checks.push(...hasMembers(`body.${name}`, inner));
    if (items) {
      const present = members.required.includes(name) ? `body.${name}` : `body.${name} ?? []`;
      checks.push(`for (const item of ${present}) {`, ...hasMembers('item', items).map((line) => `  ${line}`), '}');
    }
  }
  const name = (resolve(schema).anyOf?.[0] ?? schema).$ref?.split('/').at(-1);
  return [`pm.test('has the members of ${name}', () => {`, ...checks.map((line) => `  ${line}`), '});'];
};

const answers = (status) => `pm.test('answers ${status}', () => pm.response.to.have.status(${status}));`;

const testsOfSuccess = (operation, { status, headers, answer }, fault) => {
  const expected = String(status ?? Object.keys(operation.responses).find((one) => one.startsWith('2')));
  const response = resolve(operation.responses[expected]);
  if (!response) {
    fault(`expects ${expected}, which is not documented`);
    return [];
  }
  const tests = [answers(expected)];
  if (!response.content) {
    return [...tests, "pm.test('has no body', () => pm.expect(pm.response.text()).to.be.empty);"];
  }
  const type = headers?.Accept ?? Object.keys(response.content)[0];
  tests.push(
    `pm.test('is ${type}', () => pm.expect(pm.response.headers.get('Content-Type').split(';')[0]).to.eql('${type}'));`,
  );
  if (type !== 'application/json') return tests;
  const schema = answer ? { $ref: `#/components/schemas/${answer}` } : response.content[type].schema;
  if (!resolve(schema)) fault(`expects the schema ${answer}, which is not documented`);
  return [...tests, 'const body = pm.response.json();', ...testsOfMembers(schema)];
};

/** RFC 6750, section 3.1: no error code where there was no token. */
const challengeOf = (code) =>
  ['missing-token', 'invalid-credentials'].includes(code)
    ? 'Bearer realm="mintage"'
    : 'Bearer realm="mintage", error="invalid_token"';

const testsOfProblem = (operation, { problem, at }, fault) => {
  const [status] =
    Object.entries(operation.responses).find(
      ([, response]) => resolve(response).content?.['application/problem+json']?.examples?.[problem],
    ) ?? [];
  if (!status) {
    fault(`expects the problem ${problem}, which is not documented`);
    return [];
  }
  const tests = [
    answers(status),
    'const body = pm.response.json();',
    `pm.test('is the problem ${problem}', () => pm.expect(body.code).to.eql('${problem}'));`,
  ];
  if (status === '401') {
    tests.push(
      "pm.test('says how to authenticate', () => {",
      `  pm.expect(pm.response.headers.get('WWW-Authenticate')).to.eql('${challengeOf(problem)}');`,
      '});',
    );
  }
  if (at) {
    const [pointer, code] = at;
    tests.push(
      `pm.test('names ${pointer}', () => pm.expect(body.errors[0]).to.include({ pointer: '${pointer}', code: '${code}' }));`,
    );
  }
  return tests;
};

// --- requests

const parameters = (operation, where) => (operation.parameters ?? []).map(resolve).filter((one) => one.in === where);

/** What a parameter that is not sent could be; Postman shows it unticked. */
const offered = ({ name, description, schema, example }) => ({
  key: name,
  value: String(example ?? resolve(schema)?.default ?? resolve(schema)?.enum?.[0] ?? ''),
  description: description ?? '',
  disabled: true,
});

const given = (values) => Object.entries(values).map(([key, value]) => ({ key, value: String(value) }));

/** What the flow sends, then (if nothing is special about the request) what else could be sent. */
const sent = (operation, where, values, isMain, fault) => {
  const known = parameters(operation, where);
  if (where === 'query') {
    for (const name of Object.keys(values)) {
      if (!known.some((one) => one.name === name)) fault(`sends ${name}, which is not documented`);
    }
  }
  const others = isMain ? known.filter((one) => !Object.hasOwn(values, one.name)) : [];
  return [...given(values), ...others.map(offered)];
};

const urlOf = (operation, step, isMain, fault) => {
  const path = operation.path.replace(/\{(\w+)\}/g, (_, name) => {
    const documented = parameters(operation, 'path').find((one) => one.name === name);
    const value = step.path?.[name] ?? flow.pathValues[name] ?? documented?.example;
    if (value === undefined) fault(`needs a value for {${name}}: path: { ${name}: … }`);
    return String(value);
  });
  const query = sent(operation, 'query', step.query ?? {}, isMain, fault);
  const enabled = query.filter((one) => !one.disabled);
  const search = enabled.length > 0 ? `?${enabled.map(({ key, value }) => `${key}=${value}`).join('&')}` : '';
  return {
    raw: `{{base_url}}${path}${search}`,
    host: ['{{base_url}}'],
    path: path.split('/').slice(1),
    ...(query.length > 0 ? { query } : {}),
  };
};

const FORM = 'application/x-www-form-urlencoded';

const isForm = (operation) => operation.requestBody?.content?.[FORM] !== undefined;

/** A body as Postman sends it. */
const encoded = (operation, body) =>
  isForm(operation)
    ? { mode: 'urlencoded', urlencoded: Object.entries(body).map(([key, value]) => ({ key, value })) }
    : { mode: 'raw', raw: JSON.stringify(body, null, 2), options: { raw: { language: 'json' } } };

const bodyOf = (operation, step, fault) => {
  const content = operation.requestBody?.content;
  const schema = (content?.['application/json'] ?? content?.[FORM])?.schema;
  if (!schema) {
    if (step.body || step.change) fault('sends a body, which is not documented');
    return undefined;
  }
  if (step.body !== undefined) return step.body;
  const example = resolve(schema).example;
  if (!example) {
    fault('needs a body, since its schema has no example');
    return undefined;
  }
  const filled = Object.entries(example).map(([name, value]) => [name, flow.values[name] ?? value]);
  return { ...Object.fromEntries(filled), ...step.change };
};

const itemOf = (step) => {
  const operation = operations.get(step.call);
  const fault = (text) => faults.push(`${step.call}${step.when ? ` (${step.when})` : ''} ${text}`);
  if (!operation) {
    fault('is no operation');
    return [];
  }
  unused.delete(step.call);
  const isMain = !step.when;
  const name = step.name ?? (step.when ? `${operation.summary}: ${step.when}` : operation.summary);
  const isPublic = operation.security?.length === 0;
  if (isPublic && step.token) fault('sends a token to a public operation');
  const token = isPublic ? null : step.token;
  const body = bodyOf(operation, step, fault);
  const generated = step.anyOf
    ? [`pm.test('answers ${step.anyOf.join(' or ')}', () => pm.expect(pm.response.code).to.be.oneOf(${JSON.stringify(step.anyOf)}));`]
    : (step.problem ? testsOfProblem : testsOfSuccess)(operation, step, fault);
  const test = [...generated, ...[step.test ?? []].flat().flatMap(statements)];
  const description = step.about ?? operation.description;
  if (!description) fault('has no description');
  return {
    name,
    event: events({ before: step.before, test }),
    // A redirect is the response to check, not the page behind it.
    ...(String(step.status).startsWith('3') ? { protocolProfileBehavior: { followRedirects: false } } : {}),
    request: {
      method: operation.method,
      header: [
        ...sent(operation, 'header', step.headers ?? {}, isMain, fault),
        ...(body ? [{ key: 'Content-Type', value: isForm(operation) ? FORM : 'application/json' }] : []),
      ],
      ...(body ? { body: encoded(operation, body) } : {}),
      url: urlOf(operation, step, isMain, fault),
      ...(token === undefined ? {} : { auth: authOf(token) }),
      description,
    },
    response: [],
  };
};

const folderOf = ({ name, about, token, before, steps }) => ({
  name,
  description: about,
  ...(token === undefined ? {} : { auth: authOf(token) }),
  ...(before ? { event: events({ before }) } : {}),
  item: steps.flatMap((step) => (step.steps ? folderOf(step) : itemOf(step))),
});

const collection = {
  info: {
    name: document.info.title,
    description: flow.about,
    schema: 'https://schema.getpostman.com/json/collection/v2.1.0/collection.json',
  },
  auth: bearer('{{access_token}}'),
  event: events({ before: flow.beforeEach, test: statements(flow.afterEach) }),
  item: flow.folders.map(folderOf),
};

// --- what would only show when a person sends the requests

for (const name of unused) faults.push(`${name} has no request: add { call: '${name}' } to a folder in postman/flow/`);

const text = JSON.stringify(collection);
const known = new Set(environment.values.map(({ key }) => key));
for (const [, name] of text.matchAll(/environment\.set\('(\w+)'/g)) known.add(name);
for (const [, name] of text.matchAll(/\{\{(\w+)\}\}/g)) {
  if (!known.has(name)) faults.push(`{{${name}}} is neither in the environment nor set by a script`);
  known.add(name);
}

const isCurrent = () => {
  try {
    return isDeepStrictEqual(JSON.parse(readFileSync(COLLECTION, 'utf8')), collection);
  } catch {
    return false;
  }
};
if (process.argv.includes('--check') && faults.length === 0 && !isCurrent()) {
  faults.push('the collection is out of date: run node postman/generate.mjs');
}
if (faults.length > 0) {
  console.error(faults.map((fault) => `postman: ${fault}`).join('\n'));
  process.exit(1);
}
if (!process.argv.includes('--check')) writeFileSync(COLLECTION, `${JSON.stringify(collection, null, 2)}\n`);

const count = (items) => items.reduce((sum, { item }) => sum + (item ? count(item) : 1), 0);
console.log(`postman: ${count(collection.item)} requests cover all ${operations.size} operations`);
