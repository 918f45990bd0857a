"""Posts to what was a FastAPI app with `@app.post("/pin/")`."""

import json
import os

import requests

from posts import POSTS

invoke_url = os.environ.get("INVOKE_URL", "http://localhost:8080/dev")

for pin_result in POSTS:
    body = json.dumps(pin_result, default=str)
    response = requests.post(f"{invoke_url}/pin/", data=body)
    assert response.json() == json.loads(body)
    print(response.status_code)
