// Calls the real server with clients that are generated from the document. See run.sh, which generates and compiles them.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';

import { startServer } from '../browser/server.mjs';

let server;

before(async () => {
  const settings = { REQUIRE_CONFIRMATION: 'off', COINS_PROVIDERS: 'demo', SOCIAL_PROVIDERS: 'none' };
  server = await startServer(settings);
});
after(() => server?.stop());

test('openapi-typescript and openapi-fetch use the API', async () => {
  const { run } = await import('./generated/typed/flow.js');
  await run(server.base);
});

test('openapi-python-client uses the API', async () => {
  const env = { ...process.env, PYTHONPATH: 'tests/clients/generated' };
  const { stdout } = await promisify(execFile)(process.env.PYTHON, ['tests/clients/flow.py', server.base], { env });
  assert.equal(stdout, 'used\n');
});

test('progenitor uses the API', async () => {
  const { stdout } = await promisify(execFile)('target/clients-rust/debug/mintage-rust-client', [server.base]);
  assert.equal(stdout, 'used\n');
});
