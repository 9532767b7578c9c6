"""Calls a server whose queue is full, and leaves coming back to the client. Usage: patience.py BASE_URL MODEL"""

import sys

import openai

client = openai.OpenAI(base_url=sys.argv[1] + "/v1", api_key="none", max_retries=3)
raw = client.completions.with_raw_response.create(model=sys.argv[2], prompt="Count:")
print(f"{raw.parse().choices[0].text!r} after {raw.retries_taken} retries")
