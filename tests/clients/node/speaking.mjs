// The conversation the official Node clients have with the gateway, told as JSON.
//
// node speaking.mjs BASE_URL SECRETS: `openai`, `@anthropic-ai/sdk` and `ai` (the Vercel AI SDK) as customers have
// them; nothing is patched, nothing but the base URL is set.

import Anthropic from "@anthropic-ai/sdk";
import { createAnthropic } from "@ai-sdk/anthropic";
import { createGoogleGenerativeAI } from "@ai-sdk/google";
import { createOpenAI } from "@ai-sdk/openai";
import { APICallError, generateText, jsonSchema, stepCountIs, streamText, tool } from "ai";
import OpenAI, { toFile } from "openai";

const [baseURL, given] = process.argv.slice(2);
const secrets = JSON.parse(given);
const QUESTION = "Say something short.";
const GPT = "gpt-4o", CLAUDE = "claude-3-5-sonnet-20241022", GEMINI = "gemini-2.5-flash";
const PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
const PLACE = { type: "object", properties: { place: { type: "string" } }, required: ["place"] };
const SITUATIONS = ["unknown", "poor", "disabled", "low_tier"];

const wish = (text) => ({ headers: { "X-Sandbox": text } });
const openai = (secret) => new OpenAI({ baseURL: `${baseURL}/v1`, apiKey: secret });
const anthropic = (secret) => new Anthropic({ baseURL, apiKey: secret });

async function withOpenAI() {
  const client = openai(secrets.good);
  const messages = [{ role: "user", content: QUESTION }];
  const asked = { model: GPT, messages, max_tokens: 40 };
  const chat = await client.chat.completions.create(asked);
  let streamed = "";
  for await (const chunk of await client.chat.completions.create({ ...asked, stream: true })) {
    streamed += chunk.choices[0]?.delta?.content ?? "";
  }
  const tools = ["weather", "clock"].map((name) => ({ type: "function", function: { name, parameters: PLACE } }));
  const called = await client.chat.completions.create(
    { ...asked, max_tokens: 200, tools }, wish("tokens=3, tool_calls=2"),
  );
  const image = { type: "image_url", image_url: { url: `data:image/png;base64,${PIXEL}` } };
  const seen = await client.chat.completions.create({ ...asked, messages: [{ role: "user", content: [image] }] });
  const response = await client.responses.create({ model: GPT, input: QUESTION, max_output_tokens: 40 });
  const following = await client.responses.create({
    model: GPT, input: "And more?", max_output_tokens: 40, previous_response_id: response.id,
  });
  let responded = "";
  for await (const event of await client.responses.create({ model: GPT, input: QUESTION, stream: true })) {
    if (event.type === "response.output_text.delta") responded += event.delta;
  }
  const drawing = { model: "gpt-image-1", prompt: "A cat.", size: "1024x1024" };
  const drawn = await client.images.generate({ ...drawing, n: 2 });
  const png = Buffer.from(drawn.data[0].b64_json, "base64");
  const edited = await client.images.edit({ ...drawing, image: await toFile(png, "cat.png", { type: "image/png" }) });
  return {
    images: { drawn: drawn.data.length, edited: edited.data.length, tokens: drawn.usage.output_tokens },
    png: png.subarray(1, 4).toString(),
    text: chat.choices[0].message.content,
    streamed,
    calls: called.choices[0].message.tool_calls.map((call) => call.function.name),
    seen: seen.choices[0].message.content,
    response: response.output_text,
    status: response.status,
    following: following.output_text,
    grew: following.usage.input_tokens > response.usage.input_tokens,
    responded,
    failures: await failures((secret) => openai(secret).chat.completions.create(asked)),
  };
}

async function withAnthropic() {
  const client = anthropic(secrets.good);
  const messages = [{ role: "user", content: QUESTION }];
  const asked = { model: CLAUDE, messages, max_tokens: 40 };
  const message = await client.messages.create(asked);
  const streamed = await client.messages.stream(asked).finalMessage();
  const tools = ["weather", "clock"].map((name) => ({ name, input_schema: PLACE }));
  const called = await client.messages
    .stream({ ...asked, max_tokens: 200, tools }, wish("tokens=3, tool_calls=2"))
    .finalMessage();
  const source = { type: "base64", media_type: "image/png", data: PIXEL };
  const seen = await client.messages.create({
    ...asked, messages: [{ role: "user", content: [{ type: "image", source }] }],
  });
  return {
    text: message.content[0].text,
    streamed: streamed.content[0].text,
    calls: called.content.filter((block) => block.type === "tool_use").map((block) => [block.name, block.input]),
    seen: seen.content[0].text,
    failures: await failures((secret) => anthropic(secret).messages.create(asked)),
  };
}

// The AI SDK through its own providers: Responses, chat completions, messages, Gemini.
async function withAI() {
  const { good } = secrets;
  const providers = (secret) => ({
    responses: createOpenAI({ baseURL: `${baseURL}/v1`, apiKey: secret })(GPT),
    chat: createOpenAI({ baseURL: `${baseURL}/v1`, apiKey: secret }).chat(GPT),
    anthropic: createAnthropic({ baseURL: `${baseURL}/v1`, apiKey: secret })(CLAUDE),
    google: createGoogleGenerativeAI({ baseURL: `${baseURL}/v1beta`, apiKey: secret })(GEMINI),
  });
  const weather = tool({
    description: "The weather at a place.", inputSchema: jsonSchema(PLACE), execute: async ({ place }) => `wet at ${place}`,
  });
  const told = {};
  for (const [name, model] of Object.entries(providers(good))) {
    const asked = { model, prompt: QUESTION, maxOutputTokens: 400, maxRetries: 0 };
    const text = await generateText(asked);
    const stream = streamText(asked);
    let streamed = "";
    for await (const piece of stream.textStream) streamed += piece;
    // Every turn calls the tool again, so the second step ends it.
    const called = await generateText({
      ...asked, tools: { weather }, stopWhen: stepCountIs(2), headers: { "X-Sandbox": "tokens=3, tool_calls=1" },
    });
    told[name] = {
      text: text.text,
      finish: text.finishReason,
      total: text.usage.totalTokens,
      streamed,
      calls: called.steps.map((step) => step.toolResults.map((result) => result.output)),
    };
  }
  told.failures = {};
  for (const [name, model] of Object.entries(providers(secrets.unknown))) {
    told.failures[name] = await generateText({ model, prompt: QUESTION, maxRetries: 0 }).then(
      () => null, (error) => ({ ours: APICallError.isInstance(error), status: error.statusCode, message: error.message }),
    );
  }
  return told;
}

async function failures(ask) {
  const told = {};
  for (const name of SITUATIONS) {
    told[name] = await ask(secrets[name]).then(
      () => null, (error) => ({ kind: error.constructor.name, status: error.status, message: error.message }),
    );
  }
  return told;
}

console.log(JSON.stringify({ openai: await withOpenAI(), anthropic: await withAnthropic(), ai: await withAI() }));
