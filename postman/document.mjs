// The OpenAPI document, as the generator of the Postman collections reads it.
import { readFileSync } from 'node:fs';

export const document = JSON.parse(readFileSync(new URL('../openapi/openapi.json', import.meta.url), 'utf8'));

const METHODS = ['get', 'put', 'post', 'delete', 'options', 'head', 'patch', 'trace'];

/** All operations by their `operationId`. */
export const operations = new Map(
  Object.entries(document.paths).flatMap(([path, item]) =>
    METHODS.filter((method) => item[method]).map((method) => [
      item[method].operationId,
      { method: method.toUpperCase(), path, ...item[method] },
    ]),
  ),
);

/** What a reference refers to. */
export const resolve = (value) =>
  value?.$ref ? resolve(value.$ref.slice(2).split('/').reduce((node, key) => node[key], document)) : value;

export const parameters = (operation, where) =>
  (operation.parameters ?? []).map(resolve).filter((one) => one.in === where);

/** The members that an object of this schema has, and those it may have; undefined for anything else. */
export const membersOf = (schema) => {
  const { allOf, properties, required = [] } = resolve(schema) ?? {};
  const parts = (allOf ?? []).map(membersOf);
  if (!properties && parts.length === 0) return undefined;
  return {
    required: [...parts.flatMap((part) => part.required), ...required],
    properties: Object.assign({}, ...parts.map((part) => part.properties), properties),
  };
};

/** The example of a parameter or of a body, else of its schema. */
export const exampleOf = ({ example, examples, schema }) => {
  const [first] = Object.values(examples ?? {}).map(resolve);
  const shown = resolve(schema) ?? {};
  return example ?? first?.value ?? shown.example ?? shown.examples?.[0] ?? shown.default ?? shown.enum?.[0];
};
