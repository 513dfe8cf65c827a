"""Uses the API as a Python program does, with a client that openapi-python-client generated. Argument: base."""

import json
import sys
from pathlib import Path

from mintage_client import AuthenticatedClient, Client
from mintage_client.api.alerts import create_alert
from mintage_client.api.auth import login, register
from mintage_client.api.coins import list_coins, list_sparse_coins, read_coin, read_coins_csv
from mintage_client.api.user import read_me
from mintage_client.api.users import list_users
from mintage_client.models import (
    CoinList,
    CreateAlert,
    ForbiddenProblem,
    InvalidCredentialsProblem,
    Login,
    Register,
    SparseCoinList,
    TokenPair,
    User,
    ValidationFailedProblem,
)
from mintage_client.types import UNSET
from openapi_schema_validator import OAS30Validator

base = sys.argv[1]
email, password = "edsger@example.com", "correct horse battery staple"
anonymous = Client(base_url=base, raise_on_unexpected_status=True)

created = register.sync(client=anonymous, body=Register(email=email, password=password))
assert isinstance(created, User), created
refused = login.sync(client=anonymous, body=Login(email=email, password="not the password"))
assert isinstance(refused, InvalidCredentialsProblem), refused
pair = login.sync(client=anonymous, body=Login(email=email, password=password))
assert isinstance(pair, TokenPair), pair

client = AuthenticatedClient(base_url=base, token=pair.access_token, raise_on_unexpected_status=True)
me = read_me.sync(client=client)
assert isinstance(me, User) and me.email == email, me

answer = list_coins.sync_detailed(client=client, limit=2)
assert isinstance(answer.parsed, CoinList), answer
first = answer.parsed.data[0]
assert first.symbol == "BTC" and first.price and first.social is None, first
older = json.loads(Path("openapi/openapi-3.0.json").read_text())
schema = {"$ref": "#/components/schemas/CoinList", "components": older["components"]}
OAS30Validator(schema).validate(json.loads(answer.content))
again = list_coins.sync_detailed(client=client, limit=2, if_none_match=answer.headers["etag"])
assert again.status_code == 304, again

sparse = list_sparse_coins.sync(client=client, fields="price", limit=1)
assert isinstance(sparse, SparseCoinList), sparse
assert sparse.data[0].price == first.price and sparse.data[0].name is UNSET, sparse
assert read_coin.sync(coin="bitcoin", client=client).data.id == first.id
assert read_coins_csv.sync(client=client, limit=1).startswith(b"id,symbol,")

alert = CreateAlert.from_dict({"coin": "btc", "metric": "price", "direction": "above", "threshold": -1})
problem = create_alert.sync(client=client, body=alert)
assert isinstance(problem, ValidationFailedProblem), problem
assert problem.errors[0].pointer == "/threshold", problem
assert isinstance(list_users.sync(client=client), ForbiddenProblem)
print("used")
