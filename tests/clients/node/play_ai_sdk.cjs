// Plays cases with Vercel's AI SDK and its provider of OpenAI, one after the other and at once, and
// prints what came back as JSON.
//
// Usage: play_ai_sdk.cjs SDK, where SDK is the folder whose node_modules has the packages, with
// OPENAI_BASE_URL and OPENAI_API_KEY as the provider itself reads them.

'use strict';

const { createHash } = require('node:crypto');
const { createRequire } = require('node:module');

const sdk = createRequire(`${process.argv[2]}/`);
const ai = sdk('ai');
const { createOpenAI } = sdk('@ai-sdk/openai');
const { z } = sdk('zod');

const openai = createOpenAI();
const [chat, responses] = [openai.chat('gpt-4o-mini'), openai.responses('gpt-4o-mini')];
const nobody = createOpenAI({ apiKey: 'sk-nobody-has-this-key' });
const OPTIONS = { maxRetries: 0, maxOutputTokens: 60 };
const PROMPT = { ...OPTIONS, system: 'You are terse.', prompt: 'Name three rivers: é, 漢字, 🌊.' };
const PARCEL = z.object({ city: z.string(), days_late: z.number(), damaged: z.boolean() });
const get_weather = ai.tool({
  description: 'Tells the weather of a city.',
  inputSchema: z.object({ city: z.string() }),
  execute: async ({ city }) => `${city}: sleet`,
});
const TOOL = { ...OPTIONS, tools: { get_weather }, stopWhen: ai.stepCountIs(3), prompt: 'Ask get_weather of Oslo.' };
const SCHEMA = { ...OPTIONS, output: ai.Output.object({ schema: PARCEL }), prompt: 'Where is the parcel?' };
const SOUND = Uint8Array.from({ length: 30_000 }, (_, n) => (n * 7) % 251);

async function main() {
  const transcript = [];
  for (const [kind, model] of Object.entries({ chat, responses })) {
    transcript.push(await play(kind, ['text', 'usage'], () => text({ ...PROMPT, model })));
    transcript.push(await play(`${kind} with a tool`, ['tool call', 'text'], () => text({ ...TOOL, model })));
    transcript.push(await play(`${kind} with a schema`, ['parcel'], () => text({ ...SCHEMA, model })));
    transcript.push(await play(`${kind} stream`, ['text', 'usage'], () => streamed({ ...PROMPT, model })));
    transcript.push(await play(`${kind} stream with a tool`, ['tool call', 'text'], () => streamed({ ...TOOL, model })));
    transcript.push(await play(`${kind} stream with a schema`, ['parcel'], () => streamed({ ...SCHEMA, model })));
  }
  transcript.push(await play('completion', ['text'], () => text({ ...PROMPT, model: openai.completion('gpt-3.5-turbo-instruct') })));
  transcript.push(await play('embeddings', ['embedding'], embeddings));
  transcript.push(await play('image', ['bytes'], image));
  transcript.push(await play('speech', ['bytes'], speech));
  transcript.push(await play('transcription', ['text'], transcription));
  transcript.push(await play('unknown model', ['error 404'], () => text({ ...PROMPT, model: openai('no-such-model') })));
  transcript.push(await play('unknown model, streamed', ['error 404'], () => streamed({ ...PROMPT, model: openai('no-such-model') })));
  transcript.push(await play('wrong key', ['error 401'], () => text({ ...PROMPT, model: nobody('gpt-4o-mini') })));
  const asked = [1, 2, 3, 4].map((n) => ({ ...OPTIONS, model: n % 2 ? chat : responses, prompt: `Number ${n}.` }));
  const atOnce = asked.map((one, n) => play(`at once ${n}`, ['text', 'usage'], () => (n < 2 ? text(one) : streamed(one))));
  transcript.push(...(await Promise.all(atOnce)));
  process.stdout.write(JSON.stringify(transcript));
}

async function play(name, expects, ask) {
  let heard;
  try {
    heard = await ask();
  } catch (error) {
    if (!ai.APICallError.isInstance(error)) throw error;
    heard = { said: refusal(error), headers: error.responseHeaders };
  }
  return { case: `ai-sdk ${name}`, expects, ...heard };
}

async function text(options) {
  const answer = await ai.generateText(options);
  const steps = answer.steps.map(({ content, finishReason, usage, warnings, response, providerMetadata }) => {
    return { content, finishReason, usage: total(usage), warnings, body: response.body, providerMetadata };
  });
  const said = plain({ steps, output: options.output && answer.output });
  return { said, headers: answer.response.headers };
}

async function streamed(options) {
  let refused;
  const answer = ai.streamText({ ...options, onError: ({ error }) => (refused = error) });
  const parts = [];
  for await (const part of answer.fullStream ?? answer.stream) parts.push(timeless(part));
  if (refused) throw refused;
  const said = plain({ parts, output: options.output && (await answer.output) });
  return { said, headers: (await answer.response).headers };
}

async function embeddings() {
  const model = openai.embedding('text-embedding-3-small');
  const { embeddings, usage, responses } = await ai.embedMany({ model, values: ['one', 'two sentences'], maxRetries: 0 });
  const said = { usage, vectors: embeddings.map((embedding) => ({ embedding })) };
  return { said: plain(said), headers: responses[0].headers };
}

async function image() {
  const model = openai.image('gpt-image-1');
  const { images, warnings } = await ai.generateImage({ model, prompt: 'A sluice at dawn.', n: 2, maxRetries: 0 });
  return { said: plain({ images: images.map((one) => digest(one.uint8Array)), warnings }) };
}

async function speech() {
  const { audio } = await ai.generateSpeech({ model: openai.speech('gpt-4o-mini-tts'), text: 'Say this aloud.', maxRetries: 0 });
  return { said: digest(audio.uint8Array) };
}

async function transcription() {
  const { text, segments, language } = await ai.transcribe({ model: openai.transcription('whisper-1'), audio: SOUND, maxRetries: 0 });
  return { said: plain({ text, segments, language }) };
}

// The sum is not told by all models, but expected of all answers.
function total(usage) {
  return { ...usage, input_tokens: usage.inputTokens, output_tokens: usage.outputTokens, total_tokens: usage.totalTokens };
}

// Leaves out what the SDK measured of its own time, where it asked, and headers, which are told apart.
function timeless({ performance, request, response, ...part }) {
  const usage = part.usage ?? part.totalUsage;
  return usage ? { ...part, usage: total(usage) } : part;
}

function digest(bytes) {
  return { bytes: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') };
}

function plain(value) {
  return JSON.parse(JSON.stringify(value));
}

function refusal({ name, statusCode, message, responseBody, isRetryable }) {
  return { error: name, status: statusCode, message, body: JSON.parse(responseBody), isRetryable };
}

main();
