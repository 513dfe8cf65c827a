"""Verifies, introspects and revokes a token as a Python service does. Arguments: base, algorithm, token, id and key."""

import sys

import jwt
from authlib.integrations.requests_client import OAuth2Session

base, algorithm, token, client_id, client_secret = sys.argv[1:]

key = jwt.PyJWKClient(f"{base}/.well-known/jwks.json").get_signing_key_from_jwt(token)
claims = jwt.decode(
    token,
    key,
    algorithms=[algorithm],
    audience="mintage",
    issuer=base,
    options={"require": ["exp", "iat", "sub", "jti"]},
)
assert claims["kind"] == "access", claims
for other in {"EdDSA", "ES256", "RS256", "HS256"} - {algorithm}:
    try:
        jwt.decode(token, key, algorithms=[other], audience="mintage")
    except jwt.InvalidTokenError:
        continue
    raise AssertionError(f"verified as {other}")

session = OAuth2Session(client_id, client_secret, token_endpoint_auth_method="client_secret_basic")
answer = session.introspect_token(f"{base}/oauth/introspect", token=token, token_type_hint="access_token")
assert answer.status_code == 200, answer.text
assert answer.json()["active"] is True and answer.json()["sub"] == claims["sub"], answer.text
assert session.revoke_token(f"{base}/oauth/revoke", token=token).status_code == 200
answer = session.introspect_token(f"{base}/oauth/introspect", token=token)
assert answer.json() == {"active": False}, answer.text
print("verified")
