"""OpenAI's own client against a running server: python openai_client.py http://127.0.0.1:PORT"""

import sys

import openai

client = openai.OpenAI(base_url=sys.argv[1].rstrip("/") + "/v1", api_key="none", max_retries=0)
model = client.models.list().data[0].id
assert client.models.retrieve(model).id == model
FRANCE = [{"role": "user", "content": "What is the capital of France?"}]

answer = client.chat.completions.create(model=model, messages=FRANCE, temperature=0, max_tokens=20)
text = answer.choices[0].message.content
assert "Paris" in text and answer.usage.total_tokens > 0, answer

stream = client.chat.completions.create(
    model=model, messages=FRANCE, temperature=0, max_tokens=20, stream=True, stream_options={"include_usage": True}
)
chunks = list(stream)
assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == text
assert chunks[-1].usage == answer.usage, chunks[-1]

several = client.chat.completions.create(
    model=model, messages=FRANCE, n=2, seed=1, temperature=1, max_tokens=8, logprobs=True, top_logprobs=2
)
assert len(several.choices) == 2 and len(several.choices[0].logprobs.content[0].top_logprobs) == 2

# A conversation as clients keep it: an assistant's message without content, parts, a tool's answer.
history = [
    {"role": "system", "content": "Be short."},
    {"role": "user", "content": [{"type": "text", "text": "Hi"}]},
    {"role": "assistant", "content": None, "refusal": "No."},
    *FRANCE,
]
assert client.chat.completions.create(model=model, messages=history, max_tokens=4).choices

text = client.completions.create(model=model, prompt="The capital of France is", max_tokens=1, temperature=0)
assert text.choices[0].text == " Paris", text

vectors = client.embeddings.create(model="all-minilm-l6-v2", input=["a", "b"]).data
assert len(vectors) == 2 and len(vectors[0].embedding) == 384
assert abs(sum(x * x for x in vectors[0].embedding) - 1) < 1e-3

for wrong, kind in [
    (dict(messages=[]), openai.BadRequestError),
    (dict(messages=FRANCE, tools=[{"type": "function", "function": {"name": "f"}}]), openai.BadRequestError),
    (dict(messages=FRANCE, temperature=-1), openai.BadRequestError),
    (dict(messages=FRANCE, model="nobody"), openai.NotFoundError),
]:
    try:
        client.chat.completions.create(**{"model": model, **wrong})
    except kind as error:
        assert error.body["message"], error
    else:
        raise AssertionError(wrong)
# What is aborted gives its place up.
for chunk in client.chat.completions.create(model=model, messages=FRANCE, max_tokens=500, stream=True):
    break
print("ok", openai.__version__)
