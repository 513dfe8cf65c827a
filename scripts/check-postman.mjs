#!/usr/bin/env node
// Compares the Postman collection with the OpenAPI document: each operation must have a request,
// each request must be an operation, must send no token where none is asked for, and must have tests
// and a description.
import { readFileSync } from 'node:fs';

const read = (path) => JSON.parse(readFileSync(new URL(`../${path}`, import.meta.url), 'utf8'));
const document = read('openapi/openapi.json');
const collection = read('postman/mintage.postman_collection.json');

const METHODS = ['get', 'put', 'post', 'delete', 'options', 'head', 'patch', 'trace'];

/** Whether `{id}` and the like make it match more than one path. */
const isTemplate = (path) => path.includes('{');

const operations = Object.entries(document.paths)
  .flatMap(([path, item]) =>
    METHODS.filter((method) => item[method]).map((method) => ({
      method: method.toUpperCase(),
      path,
      isPublic: item[method].security?.length === 0,
      requests: 0,
    })),
  )
  // As in routing, a path that is spelled out wins over a template.
  .sort((a, b) => isTemplate(a.path) - isTemplate(b.path));

const requests = function* (items, folder = [], auth = collection.auth) {
  for (const item of items) {
    const name = [...folder, item.name];
    if (item.item) yield* requests(item.item, name, item.auth ?? auth);
    else yield { ...item, name: name.join(' / '), auth: item.request.auth ?? auth };
  }
};

const segments = (path) => path.split('/').filter(Boolean);

const matches = (operation, method, path) => {
  const [template, actual] = [segments(operation.path), segments(path)];
  return (
    operation.method === method &&
    template.length === actual.length &&
    template.every((part, index) => isTemplate(part) || part === actual[index])
  );
};

const faults = [];
let count = 0;
for (const { name, request, event = [], auth } of requests(collection.item)) {
  count += 1;
  const fault = (text) => faults.push(`request "${name}" ${text}`);
  const [, path] = /^\{\{base_url\}\}([^?]*)/.exec(request.url.raw) ?? [];
  if (path === undefined) {
    fault('does not start with {{base_url}}');
    continue;
  }
  const operation = operations.find((one) => matches(one, request.method, path));
  if (!operation) {
    fault(`is no operation: ${request.method} ${path}`);
    continue;
  }
  operation.requests += 1;
  if (operation.isPublic && auth?.type !== 'noauth') fault('sends a token that nobody asks for');
  if (!event.some(({ listen }) => listen === 'test')) fault('has no tests');
  if (!request.description) fault('has no description');
}
for (const { method, path, requests: found } of operations) {
  if (found === 0) faults.push(`operation ${method} ${path} has no request`);
}

if (faults.length > 0) {
  console.error(faults.map((fault) => `postman: ${fault}`).join('\n'));
  process.exit(1);
}
console.log(`postman: ${count} requests cover all ${operations.length} operations`);
