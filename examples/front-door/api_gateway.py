"""Puts to what was Kinesis behind an API gateway."""

import json
import os

import requests

from posts import POSTS

invoke_url = os.environ.get("INVOKE_URL", "http://localhost:8080/dev")

for pin_result in POSTS:
    payload = json.dumps(
        {
            "StreamName": "streaming-0a1b2c-pin",
            "Data": pin_result,
            "PartitionKey": "pin-partition",
        },
        default=str,
    )
    headers = {"Content-Type": "application/json"}
    response = requests.request(
        "PUT",
        f"{invoke_url}/streams/streaming-0a1b2c-pin/record",
        headers=headers,
        data=payload,
    )
    print(response.status_code)
