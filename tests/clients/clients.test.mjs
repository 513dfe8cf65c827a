// Verifies tokens of the real server through its key set, with each signing algorithm and the libraries that people use;
// introspects and revokes them.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';

import { createRemoteJWKSet, jwtVerify } from 'jose';
import jsonwebtoken from 'jsonwebtoken';
import jwksRsa from 'jwks-rsa';
import * as oauth from 'oauth4webapi';

import { startServer } from '../browser/server.mjs';

const PASSWORD = 'correct horse battery staple';

for (const algorithm of ['EdDSA', 'ES256', 'RS256']) {
  describe(`tokens signed with ${algorithm}`, () => {
    let server;
    let key;
    const options = () => ({ issuer: server.base, audience: 'mintage', algorithms: [algorithm] });
    const logIn = async (email, password) => {
      const answer = await server.post('/auth/login', { email, password });
      assert.equal(answer.status, 200);
      return answer.json();
    };
    const token = async () => (await logIn('ada@example.com', PASSWORD)).access_token;

    before(async () => {
      server = await startServer({ JWT_ALGORITHM: algorithm, REQUIRE_CONFIRMATION: 'off', RATE_LIMITS: 'off' });
      assert.equal((await server.post('/auth/register', { email: 'ada@example.com', password: PASSWORD })).status, 201);
      const { stdout } = await server.run('create-admin', '--email', 'root@example.com');
      const { access_token } = await logIn('root@example.com', /password:?\s+(\S+)/i.exec(stdout)[1]);
      const body = { name: 'Gateway', scopes: ['tokens:introspect'] };
      const answer = await server.post('/user/api-keys', body, { Authorization: `Bearer ${access_token}` });
      assert.equal(answer.status, 201);
      key = await answer.json();
    });
    after(() => server?.stop());

    test('jose verifies them', async () => {
      const keys = createRemoteJWKSet(new URL(`${server.base}/.well-known/jwks.json`));
      const { payload } = await jwtVerify(await token(), keys, { ...options(), typ: 'at+jwt' });
      assert.equal(payload.kind, 'access');
      const others = ['EdDSA', 'ES256', 'RS256'].filter((other) => other !== algorithm);
      await assert.rejects(jwtVerify(await token(), keys, { ...options(), algorithms: others }));
    });

    test('jsonwebtoken verifies them, except those signed with EdDSA', async () => {
      const client = jwksRsa({ jwksUri: `${server.base}/.well-known/jwks.json` });
      const access = await token();
      const { header } = jsonwebtoken.decode(access, { complete: true });
      const verify = async () =>
        jsonwebtoken.verify(access, (await client.getSigningKey(header.kid)).getPublicKey(), options());
      if (algorithm === 'EdDSA') await assert.rejects(verify);
      else assert.equal((await verify()).kind, 'access');
    });

    test('oauth4webapi finds the endpoints, introspects and revokes', async () => {
      const insecure = { [oauth.allowInsecureRequests]: true };
      const issuer = new URL(server.base);
      const found = await oauth.discoveryRequest(issuer, { algorithm: 'oauth2', ...insecure });
      const metadata = await oauth.processDiscoveryResponse(issuer, found);
      const client = { client_id: key.id };
      const access = await token();
      const introspect = async (secret = key.key) => {
        const answer = await oauth.introspectionRequest(metadata, client, oauth.ClientSecretBasic(secret), access, insecure);
        return oauth.processIntrospectionResponse(metadata, client, answer);
      };
      assert.equal((await introspect()).token_type, 'Bearer');
      await assert.rejects(introspect('wrong'), { status: 401 });
      const revoked = await oauth.revocationRequest(metadata, client, oauth.None(), access, insecure);
      await oauth.processRevocationResponse(revoked);
      assert.deepEqual(await introspect(), { active: false });
    });

    test('PyJWT verifies them, and Authlib introspects and revokes', async () => {
      const args = ['tests/clients/verify.py', server.base, algorithm, await token(), key.prefix, key.key];
      const { stdout } = await promisify(execFile)(process.env.PYTHON, args);
      assert.equal(stdout, 'verified\n');
    });
  });
}
