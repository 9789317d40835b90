"""Makes tokens with PyJWT, driven by lines of JSON: see README.md."""
import asyncio
import hashlib
import hmac
import json

import jwt
from jwt.utils import base64url_encode

from lines import say, serve


def forged(claims, key):
    """Signs by HMAC with the text of a public key, which the library itself refuses."""
    message = b".".join(base64url_encode(json.dumps(part).encode()) for part in ({"alg": "HS256", "typ": "JWT"}, claims))
    signature = hmac.new(key.encode(), message, hashlib.sha256).digest()
    return (message + b"." + base64url_encode(signature)).decode()


async def run(command):
    claims, key, algorithm = command["claims"], command.get("key"), command["alg"]
    if command["cmd"] == "forge":
        token = forged(claims, key)
    else:
        token = jwt.encode(claims, key, algorithm=algorithm, headers=command.get("header"))
    say("done", id=command["id"], result=token)


asyncio.run(serve(run))
