// Drives an OpenAI-shaped server with the official Node SDK and prints what the SDK made of each answer.
//
//   BASE_URL=http://127.0.0.1:4010/v1 API_KEY=... MODEL=mock-gpt node run.mjs [SCENARIO...] <calls.json
//
// Standard input is an object {name: fields of a chat request}; the scenarios `answers`, `streams` and `assembled`
// make each of these calls, `parsed` the one named json_schema. Prints one JSON object {scenario: result}. Exits 1 when a scenario throws something that
// it does not expect. The `mock` member of a request is the mock provider's script; a gateway forwards it like any
// field that it does not know.

import { readFileSync } from "node:fs";

import OpenAI from "openai";

const { BASE_URL: baseURL, API_KEY: apiKey, MODEL: model = "mock-gpt", SLASHED: slashed } = process.env;
if (!baseURL || !apiKey) {
  console.error("BASE_URL and API_KEY must be set");
  process.exit(2);
}
const options = { baseURL, apiKey, maxRetries: 0, timeout: 20_000 };
const client = new OpenAI(options);
const messages = [{ role: "user", content: "Say something." }];
const calls = JSON.parse(readFileSync(0, "utf8") || "{}");

const chat = (extra = {}, more = {}) => client.chat.completions.create({ model, messages, ...extra }, more);
const usage = { stream_options: { include_usage: true } };

async function collect(request) {
  const chunks = [];
  for await (const chunk of await request) chunks.push(chunk);
  return chunks;
}

async function eachCall(make) {
  const results = {};
  for (const [name, fields] of Object.entries(calls)) results[name] = await make(fields);
  return results;
}

// What the SDK raised: its own exception class and what it tells.
function told(error) {
  if (!(error instanceof OpenAI.OpenAIError)) throw error;
  const { status = null, type = null, code = null, param = null } = error;
  return { class: error.constructor.name, status, type, code, param };
}

async function failure(request) {
  try {
    await request;
  } catch (error) {
    return told(error);
  }
  throw new Error("the request did not fail");
}

// How many chunks came before the stream failed, and how it did.
async function broken(mock) {
  let seen = 0;
  try {
    for await (const _ of await chat({ stream: true, mock })) seen += 1;
  } catch (error) {
    return { seen, ...told(error) };
  }
  throw new Error("the stream did not fail");
}

// Reads until the third chunk, leaves, and says when.
async function leave(how) {
  const controller = new AbortController();
  const request = { stream: true, mock: { tokens: 5000, cadence_ms: 20 } };
  const stream = await chat(request, { signal: controller.signal });
  let seen = 0;
  let left = 0;
  for await (const _ of stream) {
    if (++seen < 3) continue;
    left = Date.now();
    if (how === "break") break;
    (how === "signal" ? controller : stream.controller).abort();
  }
  return { seen, left: left / 1000 };
}

const scenarios = {
  answers: () => eachCall((fields) => chat(fields)),
  streams: () => eachCall((fields) => collect(chat({ ...fields, stream: true }))),
  streams_usage: () => eachCall((fields) => collect(chat({ ...fields, stream: true, ...usage }))),
  assembled: () =>
    eachCall((fields) => client.chat.completions.stream({ model, messages, ...fields, ...usage }).finalChatCompletion()),
  parsed: async () => (await client.chat.completions.parse({ model, messages, ...calls.json_schema })).choices,
  models_list: async () => {
    const found = [];
    for await (const entry of client.models.list()) found.push(entry);
    return found;
  },
  models_retrieve: () => client.models.retrieve(model),
  models_retrieve_slashed: () => client.models.retrieve(slashed),
  models_retrieve_raw: () => client.get(`/models/${encodeURI(slashed)}`),
  headers: async () => {
    const { data, response, request_id } = await chat().withResponse();
    const raw = await chat({ stream: true }).asResponse();
    await raw.text();
    return [response, raw].map((answer) => Object.fromEntries(answer.headers)).concat([{ model: data.model, request_id }]);
  },
  abort_stream: () => leave("stream"),
  abort_signal: () => leave("signal"),
  abort_break: () => leave("break"),
  retries: async () => {
    const patient = new OpenAI({ ...options, maxRetries: undefined });
    const mock = { status: 503, fail_times: 2, key: "node" };
    return (await patient.chat.completions.create({ model, messages, mock })).choices.length;
  },
  error_timeout: () => failure(chat({ mock: { latency_ms: 15_000 } }, { timeout: 200 })),
  error_abort: async () => {
    const controller = new AbortController();
    setTimeout(() => controller.abort(), 100);
    return failure(chat({ mock: { latency_ms: 15_000 } }, { signal: controller.signal }));
  },
  broken_truncated: () => broken({ fault: "truncate", events_before: 2 }),
  broken_reset: () => broken({ fault: "reset", at: "after_events", events_before: 2, cadence_ms: 20 }),
  broken_in_band: () =>
    broken({ events: [{ id: "x", model: "m", choices: [] }, { error: { message: "boom", code: "overloaded" } }] }),
  gateway_key: () => failure(new OpenAI({ ...options, apiKey: "sk-wrong" }).models.list()),
  gateway_model: () => failure(chat({ model: "no-such-model" })),
  gateway_retrieve: () => failure(client.models.retrieve("no/such model")),
  gateway_access: () => failure(chat({ model: "private" })),
  gateway_parameter: () => failure(chat({ temperature: "hot" })),
  gateway_deadline: () => failure(chat({ model: "quick", mock: { latency_ms: 15_000 } })),
  gateway_dead: () => failure(chat({ model: "dead" })),
  nobody_listens: () => failure(new OpenAI({ ...options, baseURL: "http://127.0.0.1:1/v1" }).models.list()),
};
for (const status of [400, 401, 403, 404, 409, 413, 422, 429, 500]) {
  const mock = { status, error: { message: "no", code: "why", param: "messages" } };
  scenarios[`error_${status}`] = () => failure(chat({ mock }));
  scenarios[`error_${status}_stream`] = () => failure(chat({ mock, stream: true }));
}

const wanted = process.argv.length > 2 ? process.argv.slice(2) : Object.keys(scenarios);
const results = {};
for (const name of wanted) {
  if (!scenarios[name]) {
    console.error(`unknown scenario ${name}; there are: ${Object.keys(scenarios).join(", ")}`);
    process.exit(2);
  }
  try {
    results[name] = await scenarios[name]();
  } catch (error) {
    console.error(`${name}: ${error.stack}`);
    process.exitCode = 1;
  }
}
console.log(JSON.stringify(results));
