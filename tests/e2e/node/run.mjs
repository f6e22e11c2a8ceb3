// Drives an OpenAI-shaped server with the official Node SDK and prints what the SDK made of each answer.
//
//   BASE_URL=http://127.0.0.1:4010/v1 API_KEY=... MODEL=mock-gpt node run.mjs [SCENARIO...]
//
// Prints one JSON object {scenario: result}. Exits 1 when a scenario throws something it does not expect.
// The `mock` member of a request is the mock provider's script; a gateway forwards it like any unknown field.

import OpenAI from "openai";

const { BASE_URL: baseURL, API_KEY: apiKey, MODEL: model = "mock-gpt" } = process.env;
if (!baseURL || !apiKey) {
  console.error("BASE_URL and API_KEY must be set");
  process.exit(2);
}
const client = new OpenAI({ baseURL, apiKey, maxRetries: 0, timeout: 20_000 });
const messages = [{ role: "developer", content: "Be brief." }, { role: "user", content: "Say hello" }];
const parameters = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
const tools = ["weather", "time"].map((name) => ({ type: "function", function: { name, parameters } }));
const calls = [
  { name: "weather", id: "call_1", arguments: { city: "Ulm" } },
  { name: "time", id: "call_2", arguments: { city: "Oslo" } },
];

const chat = (extra = {}, options = {}) => client.chat.completions.create({ model, messages, ...extra }, options);

async function collect(request) {
  const chunks = [];
  for await (const chunk of await request) chunks.push(chunk);
  return chunks;
}

// What the SDK raised: its own exception class and the HTTP status behind it.
async function failure(request) {
  try {
    await request;
  } catch (error) {
    if (!(error instanceof OpenAI.OpenAIError)) throw error;
    return { class: error.constructor.name, status: error.status ?? null };
  }
  throw new Error("the request did not fail");
}

const scenarios = {
  completion: () => chat({ mock: { content: "Hello, world" } }),
  choices: () => chat({ n: 2 }),
  stream: () => collect(chat({ stream: true, mock: { tokens: 5 } })),
  stream_usage: () => collect(chat({ stream: true, stream_options: { include_usage: true }, mock: { tokens: 5 } })),
  tools: () => chat({ tools, mock: { tool_calls: calls } }),
  tools_streamed: () => collect(chat({ tools, stream: true, mock: { tool_calls: calls } })),
  tools_assembled: () =>
    client.chat.completions.stream({ model, messages, tools, mock: { tool_calls: calls } }).finalChatCompletion(),
  models_list: async () => {
    const found = [];
    for await (const entry of client.models.list()) found.push(entry);
    return found.filter((entry) => entry.id === model);
  },
  models_retrieve: () => client.models.retrieve(model),
  abort: async () => {
    const stream = await chat({ stream: true, mock: { tokens: 500, cadence_ms: 20 } });
    let seen = 0;
    for await (const _ of stream) if (++seen === 3) stream.controller.abort();
    return { seen };
  },
  error_400: () => failure(chat({ mock: { status: 400, error: "no" } })),
  error_401: () => failure(chat({ mock: { status: 401, error: "no" } })),
  error_403: () => failure(chat({ mock: { status: 403, error: "no" } })),
  error_404: () => failure(chat({ mock: { status: 404, error: "no" } })),
  error_429: () => failure(chat({ mock: { status: 429, error: "no" } })),
  error_500: () => failure(chat({ mock: { status: 500, error: "no" } })),
  error_timeout: () => failure(chat({ mock: { latency_ms: 15_000 } }, { timeout: 200 })),
  // Refused by a gateway itself; the mock provider has neither keys nor a fixed list of models.
  gateway_key: () => failure(new OpenAI({ baseURL, apiKey: "sk-wrong", maxRetries: 0 }).models.list()),
  gateway_model: () => failure(chat({ model: "no-such-model" })),
  refused: () => failure(chat()),
};

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
