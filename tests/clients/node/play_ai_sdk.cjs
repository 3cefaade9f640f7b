// Plays cases with Vercel's AI SDK and its providers of OpenAI or Anthropic, one after the other and
// at once, and prints what came back as JSON.
//
// Usage: play_ai_sdk.cjs SDK, where SDK is the folder whose node_modules has the packages, with
// OPENAI_BASE_URL and OPENAI_API_KEY as the provider itself reads them, or ANTHROPIC_BASE_URL as
// Anthropic's own SDKs do, and ANTHROPIC_API_KEY.

'use strict';

const { createHash } = require('node:crypto');
const { createRequire } = require('node:module');

const sdk = createRequire(`${process.argv[2]}/`);
const ai = sdk('ai');
const { createAnthropic } = sdk('@ai-sdk/anthropic');
const { createOpenAI } = sdk('@ai-sdk/openai');
const { z } = sdk('zod');

const NOBODY = { apiKey: 'sk-nobody-has-this-key' };
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
  const transcript = await (process.env.ANTHROPIC_BASE_URL ? ofAnthropic() : ofOpenAI());
  process.stdout.write(JSON.stringify(transcript));
}

async function ofOpenAI() {
  const openai = createOpenAI();
  const [chat, responses] = [openai.chat('gpt-4o-mini'), openai.responses('gpt-4o-mini')];
  const completion = openai.completion('gpt-3.5-turbo-instruct');
  return [
    ...(await texts('chat', chat)),
    ...(await texts('responses', responses)),
    await play('completion', ['text'], () => text({ ...PROMPT, model: completion })),
    await play('embeddings', ['embedding'], () => embeddings(openai.embedding('text-embedding-3-small'))),
    await play('image', ['bytes'], () => image(openai.image('gpt-image-1'))),
    await play('speech', ['bytes'], () => speech(openai.speech('gpt-4o-mini-tts'))),
    await play('transcription', ['text'], () => transcription(openai.transcription('whisper-1'))),
    ...(await refusals(openai('no-such-model'), createOpenAI(NOBODY)('gpt-4o-mini'))),
    ...(await atOnce(chat, responses)),
  ];
}

async function ofAnthropic() {
  const options = { baseURL: `${process.env.ANTHROPIC_BASE_URL}/v1` };
  const [anthropic, nobody] = [createAnthropic(options), createAnthropic({ ...options, ...NOBODY })];
  const [messages, unknown] = [anthropic('claude-haiku-4-5'), anthropic('claude-no-such-model')];
  return [
    ...(await texts('messages', messages)),
    ...(await refusals(unknown, nobody('claude-haiku-4-5'))),
    ...(await atOnce(messages, messages)),
  ];
}

async function texts(kind, model) {
  return [
    await play(kind, ['text', 'usage'], () => text({ ...PROMPT, model })),
    await play(`${kind} with a tool`, ['tool call', 'text'], () => text({ ...TOOL, model })),
    await play(`${kind} with a schema`, ['parcel'], () => text({ ...SCHEMA, model })),
    await play(`${kind} stream`, ['text', 'usage'], () => streamed({ ...PROMPT, model })),
    await play(`${kind} stream with a tool`, ['tool call', 'text'], () => streamed({ ...TOOL, model })),
    await play(`${kind} stream with a schema`, ['parcel'], () => streamed({ ...SCHEMA, model })),
  ];
}

async function refusals(unknown, stranger) {
  return [
    await play('unknown model', ['error 404'], () => text({ ...PROMPT, model: unknown })),
    await play('unknown model, streamed', ['error 404'], () => streamed({ ...PROMPT, model: unknown })),
    await play('wrong key', ['error 401'], () => text({ ...PROMPT, model: stranger })),
  ];
}

function atOnce(...models) {
  const plays = [1, 2, 3, 4].map((n) => {
    const asked = { ...OPTIONS, model: models[n % 2], prompt: `Number ${n}.` };
    return play(`at once ${n}`, ['text', 'usage'], () => (n < 3 ? text(asked) : streamed(asked)));
  });
  return Promise.all(plays);
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

async function embeddings(model) {
  const { embeddings, usage, responses } = await ai.embedMany({ model, values: ['one', 'two sentences'], maxRetries: 0 });
  const said = { usage, vectors: embeddings.map((embedding) => ({ embedding })) };
  return { said: plain(said), headers: responses[0].headers };
}

async function image(model) {
  const { images, warnings } = await ai.generateImage({ model, prompt: 'A sluice at dawn.', n: 2, maxRetries: 0 });
  return { said: plain({ images: images.map((one) => digest(one.uint8Array)), warnings }) };
}

async function speech(model) {
  const { audio } = await ai.generateSpeech({ model, text: 'Say this aloud.', maxRetries: 0 });
  return { said: digest(audio.uint8Array) };
}

async function transcription(model) {
  const { text, segments, language } = await ai.transcribe({ model, audio: SOUND, maxRetries: 0 });
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
