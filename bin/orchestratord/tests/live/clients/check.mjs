// Speaks with the server as a program that was written for OpenAI's API does; see check.py.
//
// Usage: node check.mjs PACKAGES BASE_URL MODEL [WISHES]

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { randomUUID } from "node:crypto";

const [packages, base, model, given] = process.argv.slice(2);
const wishes = given ? JSON.parse(given) : {};
const { default: OpenAI } = await import(createRequire(packages + "/").resolve("openai"));
const client = new OpenAI({ baseURL: base + "/v1", apiKey: "none", maxRetries: 0 });
const messages = [{ role: "user", content: "Name three primary colours." }];
const steady = { temperature: 0, seed: 7 };
const tool = {
  type: "function",
  function: {
    name: "get_weather",
    description: "The weather in a city.",
    parameters: {
      type: "object",
      properties: { city: { type: "string", maxLength: 12 } },
      required: ["city"],
    },
  },
};

const checks = {
  async models() {
    const listed = [];
    for await (const it of client.models.list()) listed.push(it.id);
    assert(listed.includes(model), listed);
    return listed;
  },

  async wholeAndStreamedAreTheSame() {
    const call = { model, messages, max_tokens: 16, ...steady };
    const whole = await client.chat.completions.create(call);
    const text = whole.choices[0].message.content;
    assert(text && whole.usage.completion_tokens > 0);
    let [said, usage] = ["", null];
    const options = { stream: true, stream_options: { include_usage: true } };
    for await (const chunk of await client.chat.completions.create({ ...call, ...options })) {
      said += chunk.choices[0]?.delta?.content ?? "";
      usage = chunk.usage ?? usage;
    }
    assert.equal(said, text);
    assert.equal(usage.completion_tokens, whole.usage.completion_tokens);
    return JSON.stringify(text);
  },

  async textsGoOn() {
    const call = { model, prompt: "Once upon a time", max_tokens: 8, ...steady };
    const whole = await client.completions.create(call);
    let said = "";
    for await (const chunk of await client.completions.create({ ...call, stream: true })) {
      said += chunk.choices[0]?.text ?? "";
    }
    assert(said);
    assert.equal(said, whole.choices[0].text);
    return JSON.stringify(said);
  },

  async textsBecomeVectors() {
    if (wishes.embeddings === false) return "not served by this engine";
    const input = ["the old river", "a bright door"];
    // The client asks for base 64 by itself.
    const answer = await client.embeddings.create({ model, input });
    assert.equal(answer.data.length, 2);
    const plain = await client.embeddings.create({ model, input, encoding_format: "float" });
    for (const [at, { embedding }] of plain.data.entries()) {
      assert.equal(answer.data[at].embedding.length, embedding.length);
      embedding.forEach((number, i) => assert(Math.abs(number - answer.data[at].embedding[i]) < 1e-4));
    }
    return `2 vectors of ${answer.data[0].embedding.length} numbers`;
  },

  async toolsAreCalled() {
    const wish = { tools: [tool], tool_choice: "required", parallel_tool_calls: false };
    const call = { model, messages, max_tokens: 64, ...wish, ...steady };
    const whole = await client.chat.completions.create(call);
    const called = whole.choices[0].message.tool_calls[0].function;
    assert.equal(whole.choices[0].finish_reason, "tool_calls");
    assert.equal(called.name, "get_weather");
    assert.equal(typeof JSON.parse(called.arguments).city, "string");
    const streamed = await client.chat.completions.stream(call).finalMessage();
    assert.equal(streamed.tool_calls[0].function.arguments, called.arguments);
    return called.arguments;
  },

  async answersHaveTheShapeThatIsAskedFor() {
    const schema = {
      type: "object",
      properties: { name: { type: "string" }, warm: { type: "boolean" } },
      required: ["name", "warm"],
      additionalProperties: false,
    };
    const response_format = { type: "json_schema", json_schema: { name: "colour", schema, strict: true } };
    const answer = await client.chat.completions.create({ model, messages, response_format, max_tokens: 64, ...steady });
    const colour = JSON.parse(answer.choices[0].message.content);
    assert.equal(typeof colour.name, "string");
    assert.equal(typeof colour.warm, "boolean");
    return JSON.stringify(colour);
  },

  async errorsAreTheClientsOwn() {
    const refused = (call, kind) =>
      assert.rejects(client.chat.completions.create({ model, messages, max_tokens: 2, ...call }), kind);
    await refused({ model: "gpt-9" }, (error) => error instanceof OpenAI.NotFoundError && error.code === "model_not_found");
    await refused({ temperature: 9 }, (error) => error instanceof OpenAI.BadRequestError && error.param === "temperature");
    return "404, 400";
  },

  async requestsHaveNamesPrioritiesAndSessions() {
    const headers = { "X-Priority": "batch", "X-Session-Id": randomUUID() };
    const call = client.chat.completions.create({ model, messages, max_tokens: 2 }, { headers });
    const { request_id } = await call.withResponse();
    assert(request_id);
    return request_id;
  },

  async aClientThatLeavesSaysSo() {
    const call = { model, messages, max_tokens: 4000, stream: true };
    const { data: stream, response } = await client.chat.completions.create(call).withResponse();
    for await (const _ of stream) break;
    return response.headers.get("x-request-id");
  },
};

for (const [name, check] of Object.entries(checks)) console.log(`${name}: ${await check()}`);
