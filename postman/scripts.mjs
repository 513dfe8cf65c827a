// The scripts of the Postman collections: those of the flow, and the tests that follow from the OpenAPI document.
import { membersOf, resolve } from './document.mjs';

/** Stores a variable in the environment that is chosen, else in the collection. */
const KEEP = 'const keep = (name, value) => (pm.environment.name ? pm.environment : pm.collectionVariables).set(name, value);';

/** The statements of a function of the flow, which is never called here. */
export const statements = (script) => {
  const text = script.toString();
  const block = /^\(\w*\) => \{\n([\s\S]*)\n\s*\}$/.exec(text)?.[1];
  const lines = (block ?? text.replace(/^\(\w*\) =>\s*/, '')).split('\n');
  const indented = lines.slice(block ? 0 : 1).filter((line) => line.trim());
  const margin = Math.min(...indented.map((line) => line.search(/\S/)), Infinity);
  const plain = lines.map((line, index) => (block || index > 0 ? line.slice(margin) : line));
  if (!block) plain[plain.length - 1] += ';';
  return plain;
};

/** A script of a collection, folder or request; none if it does nothing. */
export const event = (listen, lines, fault) => {
  if (lines.length === 0) return [];
  const exec = lines.some((line) => /\bkeep\(/.test(line)) ? [KEEP, ...lines] : lines;
  try {
    new Function('pm', exec.join('\n'));
  } catch (error) {
    fault(`has a script that is not JavaScript: ${error.message}\n${exec.join('\n')}`);
  }
  return [{ listen, script: { type: 'text/javascript', exec } }];
};

export const quoted = (text) => `'${text.replace(/[\\']/g, '\\$&')}'`;

const skip = (reason) => [`pm.test.skip(${quoted(reason)});`, 'pm.execution.skipRequest();'];

/** Skips the request unless a variable is `true`, or as `is`. Runs show the reason. */
export const skipUnless = ({ variable, is = true, because }) => [
  `if (String(pm.variables.get('${variable}')) !== '${is}') {`,
  ...skip(because).map((line) => `  ${line}`),
  '}',
];

/** Counts a request as skipped, not as failed, if the server refuses it with this problem. */
export const unlessRefused = ({ code, because }, check) => [
  `if (pm.response.code >= 400 && pm.response.json().code === '${code}') pm.test.skip(${quoted(because)});`,
  `else ${check}`,
];

/** Reads the code or token of a mail, unless a person has copied it. */
export const readMail = ({ what, to, page }) => [
  `// A server in development shows its mails; from another, copy the ${what} of the mail to \`mail_${what}\`.`,
  `const to = pm.variables.replaceIn('${to}');`,
  "const mailbox = pm.variables.replaceIn(pm.variables.get('mailbox_url') || '{{base_url}}/dev/mails');",
  'const skip = (reason) => {',
  '  pm.test.skip(reason);',
  '  pm.execution.skipRequest();',
  '};',
  'const look = (tries) =>',
  '  pm.sendRequest(`${mailbox}?to=${encodeURIComponent(to)}`, (error, answer) => {',
  '    if (error || answer.code !== 200) {',
  `      return skip('mail_${what} is not set; copy it from the mail');`,
  '    }',
  "    const used = String(pm.variables.get('used_mails'));",
  '    const mail = answer.json().data.find((one) => !used.includes(one.id) && ' + wanted(what, page) + ');',
  "    if (!mail && tries === 0) return skip('no such mail has arrived');",
  '    if (!mail) return setTimeout(() => look(tries - 1), 500);',
  "    keep('used_mails', `${used} ${mail.id}`.slice(-1000));",
  `    keep('mail_${what}', ${what === 'code' ? 'mail.code' : "mail.link.split('#token=')[1]"});`,
  '  });',
  `if (!pm.variables.get('${addressee(to)}')) skip('${addressee(to)} is not set');`,
  `else if (!pm.variables.get('mail_${what}')) look(40);`,
];

/** The variable that has the address of a mail. */
const addressee = (to) => /\{\{(\w+)\}\}/.exec(to)[1];

/** The condition that a mail is the one for this request: by its code, or by the page of its link. */
const wanted = (what, page) => (page ? `one.link && one.link.includes('/${page}#')` : `one.${what}`);

/** A code or token works once. */
export const forgetMail = ({ what }) => `if (pm.response.code < 300) keep('mail_${what}', '');`;

/** After the request before a stream: a run continues with the request after it. */
export const leaveOut = (stream, next) => [
  '// A stream lasts until its token expires, so runs leave it out. This changes nothing when you press Send.',
  `pm.test.skip(${quoted(`${stream}: left out, because a stream does not end`)});`,
  `pm.execution.setNextRequest(${quoted(next)});`,
];

// --- tests that follow from the document

export const answers = (...statuses) =>
  statuses.length === 1
    ? `pm.test('answers ${statuses[0]}', () => pm.response.to.have.status(${statuses[0]}));`
    : `pm.test('answers ${statuses.join(' or ')}', () => pm.expect(pm.response.code).to.be.oneOf(${JSON.stringify(statuses.map(Number))}));`;

export const expectedStatus = (operation, { status }) =>
  String(status ?? Object.keys(operation.responses).find((one) => one.startsWith('2')));

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
  const name = schema.$ref?.split('/').at(-1);
  return [`pm.test('has the members of ${name}', () => {`, ...checks.map((line) => `  ${line}`), '});'];
};

export const testsOfSuccess = (operation, step, fault) => {
  const expected = expectedStatus(operation, step);
  const response = resolve(operation.responses[expected]);
  if (!response) {
    fault(`expects ${expected}, which is not documented`);
    return [];
  }
  const tests = [answers(expected)];
  if (!response.content) {
    return [...tests, "pm.test('has no body', () => pm.expect(pm.response.text()).to.be.empty);"];
  }
  const [type] = Object.keys(response.content);
  tests.push(
    `pm.test('is ${type}', () => pm.expect(pm.response.headers.get('Content-Type').split(';')[0]).to.eql('${type}'));`,
  );
  if (type !== 'application/json') return tests;
  return [...tests, 'const body = pm.response.json();', ...testsOfMembers(response.content[type].schema)];
};

/** RFC 6750, section 3.1: no error code where there was no token. */
const challengeOf = (code) =>
  ['missing-token', 'invalid-credentials'].includes(code)
    ? 'Bearer realm="mintage"'
    : 'Bearer realm="mintage", error="invalid_token"';

export const testsOfProblem = (operation, { problem, at }, fault) => {
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
