// Holds conversations by way of official SDKs and frameworks, and prints what their users see of them.
//
//   node talk.mjs <jobs.json
//
// Standard input: {base, key, question, jobs: [{name, client, model, streamed, think}]}, base being the root URL of a
// gateway. Prints {name: result}: a list of turns, each {text, calls: [[id, name, arguments]], finish, prompt,
// completion, total, cached, thought, reasoning} with null for what a client does not tell; the object that it made of
// the answer; or {failure: {class, status, message, stack}}.

import { readFileSync } from "node:fs";

import Anthropic from "@anthropic-ai/sdk";
import { zodOutputFormat } from "@anthropic-ai/sdk/helpers/zod";
import { betaTool } from "@anthropic-ai/sdk/helpers/beta/json-schema";
import { createAnthropic } from "@ai-sdk/anthropic";
import { createOpenAI } from "@ai-sdk/openai";
import { generateObject, generateText, jsonSchema, Output, stepCountIs, streamObject, streamText, tool } from "ai";
import OpenAI from "openai";
import { zodResponseFormat, zodTextFormat } from "openai/helpers/zod";
import { z } from "zod";

// It prints them to standard output.
globalThis.AI_SDK_LOG_WARNINGS = false;

const { base, key: apiKey, question, jobs } = JSON.parse(readFileSync(0, "utf8"));
// They never retry, so that a failure is seen.
const openai = new OpenAI({ baseURL: `${base}/v1`, apiKey, maxRetries: 0, timeout: 30_000 });
const anthropic = new Anthropic({ baseURL: base, apiKey, maxRetries: 0, timeout: 30_000 });
const vercel = {
  openai: createOpenAI({ baseURL: `${base}/v1`, apiKey }),
  anthropic: createAnthropic({ baseURL: `${base}/v1`, apiKey }),
};

const description = "The weather of a city for some days.";
const parameters = {
  type: "object",
  properties: { city: { type: "string" }, days: { type: "integer" } },
  required: ["city", "days"],
  additionalProperties: false,
};
const weather = ({ city, days }) => `${city}: rain ° for ${days} days`;
const chatTool = { type: "function", function: { name: "weather", description, parameters } };
const Forecast = z.object({
  city: z.string(),
  days: z.int(),
  kind: z.enum(["rain", "sun"]),
  note: z.string().nullable(),
});

const same = (seen, told) => {
  if (seen !== told) throw new Error(`the events hold ${JSON.stringify(seen)}, the answer ${JSON.stringify(told)}`);
};

// The helper for streams keeps only the last piece of members that it does not know, reasoning among them.
function chatTurn(streamed, { choices: [{ message, finish_reason }], usage }) {
  return {
    text: message.content ?? "",
    calls: (message.tool_calls ?? []).map(({ id, function: { name, arguments: given } }) => [id, name, JSON.parse(given)]),
    finish: finish_reason,
    prompt: usage.prompt_tokens,
    completion: usage.completion_tokens,
    total: usage.total_tokens,
    cached: usage.prompt_tokens_details?.cached_tokens ?? 0,
    thought: usage.completion_tokens_details?.reasoning_tokens ?? 0,
    reasoning: streamed ? null : (message.reasoning_content ?? ""),
  };
}

const asked = () => [{ role: "user", content: question }];
const effort = (think) => (think ? { reasoning_effort: "medium" } : {});
const withUsage = { stream_options: { include_usage: true } };

// `create`, and the `stream` helper.
async function openaiChat({ model, streamed, think }) {
  const messages = asked();
  const turns = [];
  while (!turns.length || turns.at(-1).calls.length) {
    const request = { model, messages, tools: [chatTool], ...effort(think) };
    let made;
    if (streamed) {
      const stream = openai.chat.completions.stream({ ...request, ...withUsage });
      let seen = "";
      stream.on("content", (delta) => (seen += delta));
      made = await stream.finalChatCompletion();
      same(seen, made.choices[0].message.content ?? "");
    } else {
      made = await openai.chat.completions.create(request);
    }
    turns.push(chatTurn(streamed, made));
    messages.push(made.choices[0].message);
    for (const [id, , given] of turns.at(-1).calls) {
      messages.push({ role: "tool", tool_call_id: id, content: weather(given) });
    }
  }
  return turns;
}

// `runTools`, which calls the function by itself.
async function openaiRunner({ model, streamed, think }) {
  const own = { name: "weather", description, parameters, parse: JSON.parse, function: weather };
  const request = { model, messages: asked(), tools: [{ type: "function", function: own }], ...effort(think) };
  const runner = openai.chat.completions.runTools(streamed ? { ...request, stream: true, ...withUsage } : request);
  let seen = "";
  if (streamed) runner.on("content", (delta) => (seen += delta));
  await runner.done();
  const turns = runner.allChatCompletions().map((made) => chatTurn(streamed, made));
  if (streamed) same(seen, turns.map(({ text }) => text).join(""));
  same(await runner.finalContent(), turns.at(-1).text);
  const { total_tokens } = await runner.totalUsage();
  same(total_tokens, turns.reduce((sum, { total }) => sum + total, 0));
  return turns;
}

// `responses.create`, and `responses.stream`.
async function openaiResponses({ model, streamed, think }) {
  const input = asked();
  const turns = [];
  const more = think ? { reasoning: { effort: "medium", summary: "auto" } } : {};
  while (!turns.length || turns.at(-1).calls.length) {
    const tools = [{ type: "function", name: "weather", description, parameters, strict: true }];
    const request = { model, input, tools, store: false, ...more };
    let made;
    if (streamed) {
      const stream = openai.responses.stream(request);
      let seen = "";
      stream.on("response.output_text.delta", ({ delta }) => (seen += delta));
      made = await stream.finalResponse();
      same(seen, made.output_text);
    } else {
      made = await openai.responses.create(request);
    }
    const thoughts = made.output.filter(({ type }) => type === "reasoning").flatMap(({ summary }) => summary);
    const { usage } = made;
    turns.push({
      text: made.output_text,
      calls: made.output
        .filter(({ type }) => type === "function_call")
        .map(({ call_id, name, arguments: given }) => [call_id, name, JSON.parse(given)]),
      finish: made.status,
      prompt: usage.input_tokens,
      completion: usage.output_tokens,
      total: usage.total_tokens,
      cached: usage.input_tokens_details.cached_tokens,
      thought: usage.output_tokens_details.reasoning_tokens,
      reasoning: thoughts.map(({ text }) => text).join(""),
    });
    input.push(...made.output);
    for (const [call_id, , given] of turns.at(-1).calls) {
      input.push({ type: "function_call_output", call_id, output: weather(given) });
    }
  }
  return turns;
}

function messageTurn({ content, stop_reason, usage }) {
  const joined = (kind, member) => content.filter(({ type }) => type === kind).map((block) => block[member]).join("");
  return {
    text: joined("text", "text"),
    calls: content.filter(({ type }) => type === "tool_use").map(({ id, name, input }) => [id, name, input]),
    finish: stop_reason,
    prompt: usage.input_tokens,
    completion: usage.output_tokens,
    total: null,
    cached: usage.cache_read_input_tokens ?? 0,
    thought: null,
    reasoning: joined("thinking", "thinking"),
  };
}

const enabled = { thinking: { type: "enabled", budget_tokens: 2000 } };
const messageTool = { name: "weather", description, input_schema: parameters };

// `messages.create`, and `messages.stream`.
async function anthropicMessages({ model, streamed, think }) {
  const messages = asked();
  const turns = [];
  while (!turns.length || turns.at(-1).calls.length) {
    const request = { model, max_tokens: 4000, messages, tools: [messageTool], ...(think ? enabled : {}) };
    let made;
    if (streamed) {
      const stream = anthropic.messages.stream(request);
      let [seen, thoughts, inputs] = ["", "", 0];
      stream.on("text", (delta) => (seen += delta));
      stream.on("thinking", (delta) => (thoughts += delta));
      stream.on("inputJson", () => (inputs += 1));
      made = await stream.finalMessage();
      const { text, calls, reasoning } = messageTurn(made);
      same(seen, text);
      same(thoughts, reasoning);
      same(inputs > 0, calls.length > 0);
    } else {
      made = await anthropic.messages.create(request);
    }
    turns.push(messageTurn(made));
    messages.push({ role: "assistant", content: made.content });
    const results = turns.at(-1).calls.map(([tool_use_id, , given]) => ({
      type: "tool_result",
      tool_use_id,
      content: weather(given),
    }));
    messages.push({ role: "user", content: results });
  }
  return turns;
}

// The beta tool runner, which calls the function by itself.
async function anthropicRunner({ model, streamed, think }) {
  const own = betaTool({ name: "weather", description, inputSchema: parameters, run: weather });
  const request = { model, max_tokens: 4000, messages: asked(), tools: [own], ...(think ? enabled : {}) };
  const turns = [];
  for await (const made of anthropic.beta.messages.toolRunner({ ...request, stream: streamed })) {
    turns.push(messageTurn(streamed ? await made.finalMessage() : made));
  }
  return turns;
}

async function countTokens({ model }) {
  return anthropic.messages.countTokens({ model, messages: asked(), tools: [messageTool] });
}

// What the Vercel AI SDK is told about a model, and its options for reasoning. It takes a model for one that reasons by
// its name, which is an alias here. The Responses API keeps conversations unless `store` is false.
const VERCEL = {
  "ai-openai-chat": (model, think) => [
    vercel.openai.chat(model),
    { openai: think ? { reasoningEffort: "medium", forceReasoning: true } : {} },
  ],
  "ai-openai-responses": (model, think) => [
    vercel.openai.responses(model),
    { openai: { store: false, ...(think ? { reasoningEffort: "medium", reasoningSummary: "auto", forceReasoning: true } : {}) } },
  ],
  "ai-anthropic": (model, think) => [
    vercel.anthropic(model),
    { anthropic: think ? { thinking: { type: "enabled", budgetTokens: 2000 } } : {} },
  ],
};

async function finished(stream) {
  const seen = { text: "", reasoning: "" };
  for await (const part of stream.fullStream) {
    if (part.type === "error") throw part.error;
    if (part.type === "text-delta") seen.text += part.text;
    if (part.type === "reasoning-delta") seen.reasoning += part.text;
  }
  return seen;
}

// `generateText` and `streamText`, with a tool that the SDK calls by itself.
function vercelText(client) {
  return async ({ model: alias, streamed, think }) => {
    const [model, providerOptions] = VERCEL[client](alias, think);
    const own = tool({ description, inputSchema: jsonSchema(parameters), execute: weather });
    const request = { model, providerOptions, prompt: question, tools: { weather: own }, stopWhen: stepCountIs(5) };
    let steps;
    if (streamed) {
      const stream = streamText({ ...request, maxRetries: 0, onError: () => {} });
      const seen = await finished(stream);
      steps = await stream.steps;
      same(seen.text, steps.map(({ text }) => text).join(""));
      same(seen.reasoning, steps.map(({ reasoningText }) => reasoningText ?? "").join(""));
    } else {
      ({ steps } = await generateText({ ...request, maxRetries: 0 }));
    }
    return steps.map(({ text, toolCalls, finishReason, usage, reasoningText }) => ({
      text,
      calls: toolCalls.map(({ toolCallId, toolName, input }) => [toolCallId, toolName, input]),
      finish: finishReason,
      prompt: usage.inputTokens,
      completion: usage.outputTokens,
      total: usage.totalTokens,
      cached: usage.inputTokenDetails.cacheReadTokens ?? 0,
      thought: usage.outputTokenDetails.reasoningTokens ?? 0,
      reasoning: client === "ai-openai-chat" ? null : (reasoningText ?? ""),
    }));
  };
}

// `generateObject` and `streamObject`.
function vercelObject(client) {
  return async ({ model: alias, streamed }) => {
    const [model, providerOptions] = VERCEL[client](alias, false);
    const request = { model, providerOptions, schema: Forecast, prompt: question, maxRetries: 0 };
    if (!streamed) return (await generateObject(request)).object;
    let failure;
    const stream = streamObject({ ...request, onError: ({ error }) => (failure = error) });
    let last;
    for await (const partial of stream.partialObjectStream) last = partial;
    if (failure) throw failure;
    same(JSON.stringify(last), JSON.stringify(await stream.object));
    return last;
  };
}

// `output` of `generateText` and `streamText`.
function vercelOutput(client) {
  return async ({ model: alias, streamed }) => {
    const [model, providerOptions] = VERCEL[client](alias, false);
    const output = Output.object({ schema: Forecast });
    const request = { model, providerOptions, output, prompt: question, maxRetries: 0 };
    if (!streamed) return (await generateText(request)).output;
    const stream = streamText({ ...request, onError: () => {} });
    await finished(stream);
    return stream.output;
  };
}

async function parseChat({ model, streamed }) {
  const request = { model, messages: asked(), response_format: zodResponseFormat(Forecast, "forecast") };
  const made = streamed
    ? await openai.chat.completions.stream(request).finalChatCompletion()
    : await openai.chat.completions.parse(request);
  return made.choices[0].message.parsed;
}

async function parseResponses({ model, streamed }) {
  const request = { model, input: question, text: { format: zodTextFormat(Forecast, "forecast") } };
  const made = streamed ? await openai.responses.stream(request).finalResponse() : await openai.responses.parse(request);
  return made.output_parsed;
}

async function parseMessages({ model, streamed }) {
  const request = { model, max_tokens: 4000, messages: asked(), output_config: { format: zodOutputFormat(Forecast) } };
  const made = streamed ? await anthropic.messages.stream(request).finalMessage() : await anthropic.messages.parse(request);
  return made.parsed_output;
}

const CLIENTS = {
  "openai-chat": openaiChat,
  "openai-chat-runner": openaiRunner,
  "openai-responses": openaiResponses,
  anthropic: anthropicMessages,
  "anthropic-tool-runner": anthropicRunner,
  "anthropic-count": countTokens,
  "parse-openai-chat": parseChat,
  "parse-openai-responses": parseResponses,
  "parse-anthropic": parseMessages,
};
for (const name of Object.keys(VERCEL)) {
  CLIENTS[name] = vercelText(name);
  CLIENTS[`parse-object-${name}`] = vercelObject(name);
  CLIENTS[`parse-output-${name}`] = vercelOutput(name);
}

function told(error) {
  // Vercel's SDK passes on what a stream says of its failure.
  if (!(error instanceof Error)) return { class: null, status: null, message: JSON.stringify(error), stack: null };
  const { constructor, name, status, statusCode, message, stack } = error;
  // Its classes are told apart by their names.
  const kind = name.startsWith("AI_") ? name : constructor.name;
  return { class: kind, status: status ?? statusCode ?? null, message, stack };
}

const results = {};
const waiting = [...jobs];
async function work() {
  for (let job = waiting.shift(); job; job = waiting.shift()) {
    try {
      results[job.name] = await CLIENTS[job.client](job);
    } catch (error) {
      results[job.name] = { failure: told(error) };
    }
  }
}
await Promise.all(Array.from({ length: 4 }, work));
console.log(JSON.stringify(results));
