#!/usr/bin/env node
// Checks what the documentation refers to, without network: relative links and their anchors, paths of the
// repository in `code`, and the tests that docs/security.md and docs/asvs.md name (`file::test`, `::test`, `file::*` (8 tests)).
// Fails with one line per mistake.
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { dirname, join, normalize, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

process.chdir(join(dirname(fileURLToPath(import.meta.url)), '..'));

const read = (path) => readFileSync(path, 'utf8');
const filesBelow = (directory) =>
  readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name));
const pages = [
  ...['README.md', 'CHANGELOG.md', 'SECURITY.md', 'postman/README.md', 'bench/RESULTS.md', 'bench/FAULTS.md'],
  ...filesBelow('docs').filter((path) => path.endsWith('.md')),
].filter((path) => existsSync(path));

/** Blanks out fenced blocks, so that line numbers stay. */
const withoutFences = (text) =>
  text.replace(/^ *(```|~~~).*?^ *\1/gms, (block) => block.replace(/[^\n]/g, ''));
const withoutCode = (text) => text.replace(/`[^`\n]*`/g, (code) => ' '.repeat(code.length));
const lineOf = (text, index) => text.slice(0, index).split('\n').length;

/** The anchors of a page's headings, as GitHub makes them. */
const anchorsOf = (path) => {
  const seen = new Map();
  return new Set(
    [...withoutFences(read(path)).matchAll(/^#{1,6} +(.+?) *#*$/gm)].map(([, heading]) => {
      const plain = heading.replace(/\[([^\]]*)\]\([^)]*\)/g, '$1').toLowerCase();
      const anchor = plain.replace(/[^\p{L}\p{N}_ -]/gu, '').replaceAll(' ', '-');
      const count = seen.get(anchor) ?? 0;
      seen.set(anchor, count + 1);
      return count === 0 ? anchor : `${anchor}-${count}`;
    }),
  );
};

const mistakes = [];
const counts = { links: 0, paths: 0, tests: 0 };

const checkLinks = (page, text) => {
  for (const match of withoutCode(text).matchAll(/\]\(<?([^)\s>]+)>?[^)]*\)/g)) {
    const [, target] = match;
    if (/^[a-z][a-z0-9+.-]*:/i.test(target)) continue;
    counts.links += 1;
    const [file, anchor] = target.split('#');
    const path = file === '' ? page : normalize(join(dirname(page), decodeURIComponent(file)));
    const at = `${page}:${lineOf(text, match.index)}`;
    if (path.startsWith('..') || !existsSync(path)) mistakes.push(`${at}: no file ${target}`);
    else if (anchor && path.endsWith('.md') && !anchorsOf(path).has(anchor)) {
      mistakes.push(`${at}: no heading for #${anchor} in ${relative('.', path)}`);
    }
  }
};

/** Such as `src/http/page.rs`; names with a placeholder (`<action>`, `*`, `…`) are left out. */
const checkPaths = (page, text) => {
  for (const match of text.matchAll(/`((?:src|tests|docs|scripts|postman|migrations|bench|openapi|\.ci)\/[\w./-]*)`/g)) {
    counts.paths += 1;
    if (!existsSync(match[1])) mistakes.push(`${page}:${lineOf(text, match.index)}: no file ${match[1]}`);
  }
};

const sources = [...filesBelow('src'), ...filesBelow('tests')].filter((path) => path.endsWith('.rs'));
const testsIn = (path) =>
  [...read(path).matchAll(/#\[(?:tokio::|actix_web::|rt::)?test[^\]]*\]\s*(?:#\[[^\]]*\]\s*)*(?:async )?fn (\w+)/g)].map(([, name]) => name);
/** `login`, `auth/login`, `tests/settings.rs` or `src/http/text.rs`. */
const filesNamed = (name) => {
  const path = name.endsWith('.rs') ? name : `${name}.rs`;
  return sources.filter((source) => source === path || (source.startsWith('tests/api/') && source.endsWith(`/${path}`)));
};

const checkTests = (page, text) => {
  let file;
  for (const match of text.matchAll(/`((?:[\w./-]+)?)::(\w+|\*)`(?: \((\d+) tests\))?/g)) {
    counts.tests += 1;
    const [, name, test, count] = match;
    if (name !== '') file = name;
    const files = filesNamed(file);
    const at = `${page}:${lineOf(text, match.index)}`;
    const found = files.flatMap(testsIn);
    if (files.length === 0) mistakes.push(`${at}: no file of tests ${file}`);
    else if (test !== '*' && !found.includes(test)) mistakes.push(`${at}: no test ${file}::${test}`);
    else if (count && found.length !== Number(count)) mistakes.push(`${at}: ${file} has ${found.length} tests`);
  }
};

for (const page of pages) {
  const text = withoutFences(read(page));
  checkLinks(page, text);
  checkPaths(page, text);
  if (['docs/asvs.md', 'docs/security.md'].includes(page)) checkTests(page, text);
}
if (mistakes.length > 0) {
  console.error(mistakes.join('\n'));
  process.exit(1);
}
console.log(`docs: ${counts.links} links, ${counts.paths} paths and ${counts.tests} tests in ${pages.length} pages exist`);
