// Ask, stream and read citations with the clients that people use from Node.js; print what they got.
// Run by test_clients.py, with BASE_URL, API_KEY, MODEL and QUESTION set.
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateText, streamText } from "ai";
import OpenAI from "openai";

const { BASE_URL: baseURL, API_KEY: apiKey, MODEL: model, QUESTION: prompt } = process.env;
const messages = [{ role: "user", content: prompt }];
const quotes = (told) => told.citations.map((citation) => citation.quote);

async function openai() {
  const client = new OpenAI({ baseURL, apiKey });
  const whole = await client.chat.completions.create({ model, messages });
  let plain = "";
  let last;
  for await (const chunk of await client.chat.completions.create({ model, messages, stream: true })) {
    plain += chunk.choices[0].delta.content ?? "";
    last = chunk;
  }
  const helped = await client.chat.completions.stream({ model, messages }).finalContent();
  const response = await client.responses.create({ model, input: prompt });
  const final = await client.responses.stream({ model, input: prompt }).finalResponse();
  return {
    asked: whole.choices[0].message.content,
    streamed: [plain, helped, response.output_text, final.output_text],
    quotes: [quotes(whole), quotes(last), quotes(response), quotes(final)],
  };
}

async function vercelAi() {
  const compatible = createOpenAICompatible({ name: "bulkhead", baseURL, apiKey });
  const newer = createOpenAI({ baseURL, apiKey });
  const streamed = [];
  const sources = [];
  for (const asked of [compatible(model), newer.responses(model)]) {
    const whole = await generateText({ model: asked, prompt });
    const stream = streamText({ model: asked, prompt });
    let words = "";
    for await (const piece of stream.textStream) words += piece;
    streamed.push(whole.text, words);
    sources.push(whole.sources.map((one) => one.filename), (await stream.sources).map((one) => one.filename));
  }
  return { asked: streamed.shift(), streamed, sources };
}

const got = {};
for (const client of [openai, vercelAi]) {
  try {
    got[client.name] = await client();
  } catch (error) {
    got[client.name] = { failed: String(error.stack ?? error) };
  }
}
console.log(JSON.stringify(got));
