// Calls a server whose queue is full, and leaves coming back to the client.
//
// Usage: node patience.mjs PACKAGES BASE_URL MODEL

import { createRequire } from "node:module";

const [packages, base, model] = process.argv.slice(2);
const { default: OpenAI } = await import(createRequire(packages + "/").resolve("openai"));
const client = new OpenAI({ baseURL: base + "/v1", apiKey: "none", maxRetries: 3 });
const answer = await client.completions.create({ model, prompt: "Count:" });
console.log(JSON.stringify(answer.choices[0].text));
