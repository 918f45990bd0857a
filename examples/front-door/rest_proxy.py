"""Posts to what was Confluent's REST proxy behind an API gateway."""

import json
import os

import requests

from posts import POSTS

invoke_url = os.environ.get("INVOKE_URL", "http://localhost:8080/dev")

for pin_result in POSTS:
    payload = json.dumps({"records": [{"value": pin_result}]}, default=str)
    headers = {"Content-Type": "application/vnd.kafka.json.v2+json"}
    response = requests.request(
        "POST", f"{invoke_url}/topics/0a1b2c.pin", headers=headers, data=payload
    )
    print(response.status_code)
