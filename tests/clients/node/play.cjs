// Plays every case with openai-node, one after the other, with their headers, and at once, and
// prints what came back as JSON.
//
// Usage: play.cjs SDK CASES, where SDK is the folder whose node_modules has the SDK, with
// OPENAI_BASE_URL and OPENAI_API_KEY as the SDK itself reads them.

'use strict';

const { createHash } = require('node:crypto');
const fs = require('node:fs');
const { createRequire } = require('node:module');
const { setTimeout: sleep } = require('node:timers/promises');

const [sdkFolder, casesPath] = process.argv.slice(2);
const { OpenAI, APIError, toFile } = createRequire(`${sdkFolder}/`)('openai');
const OPTIONS = { maxRetries: 0, timeout: 60_000 };

async function main() {
  const cases = JSON.parse(fs.readFileSync(casesPath, 'utf8'));
  const transcript = [];
  for (const example of cases) transcript.push(await play('serial', example, answered));
  for (const example of cases) transcript.push(await play('raw', example, answeredWithHeaders));
  transcript.push({ case: 'serial files', expects: [], said: await files() });
  transcript.push({ case: 'serial batch', expects: ['text', 'usage'], said: await batch() });
  transcript.push(...(await Promise.all(cases.map((one) => play('parallel', one, answered)))));
  process.stdout.write(JSON.stringify(transcript));
}

async function play(manner, example, answer) {
  let heard;
  try {
    heard = await answer(example);
  } catch (error) {
    if (!(error instanceof APIError)) throw error;
    heard = { said: refusal(error) };
    if (manner === 'raw') heard.headers = named(error.headers);
  }
  return { case: `${manner} ${example.name}`, expects: example.expects, ...heard };
}

async function answered(example) {
  return { said: await whole(await call(example), example) };
}

async function answeredWithHeaders(example) {
  const { data, response } = await (await calling(example))().withResponse();
  return { said: await whole(data, example), headers: named(response.headers) };
}

async function files() {
  const client = new OpenAI(OPTIONS);
  const line = '{"custom_id":"1","method":"POST","url":"/v1/chat/completions","body":{}}\n';
  const file = await toFile(Buffer.from(line), 'requests.jsonl');
  const made = await client.files.create({ file, purpose: 'batch' });
  const found = await client.files.retrieve(made.id);
  const listed = (await collected(await client.files.list())).filter((one) => one.id === made.id);
  const content = await (await client.files.content(made.id)).text();
  // Version 4 has no `delete`.
  const deleted = await (client.files.delete ?? client.files.del).call(client.files, made.id);
  const names = listed.map((one) => one.filename);
  return [plain(made), plain(found), names, content === line, plain(deleted)];
}

async function batch() {
  const client = new OpenAI(OPTIONS);
  const messages = [{ role: 'user', content: 'One line of many.' }];
  const lines = ['gpt-4o-mini', 'no-such-model', 'gpt-4o'].map((model, n) => ({
    custom_id: `line ${n}`,
    method: 'POST',
    url: '/v1/chat/completions',
    body: { model, max_tokens: 9, messages },
  }));
  const text = lines.map((line) => `${JSON.stringify(line)}\n`).join('');
  const upload = await toFile(Buffer.from(text), 'lines.jsonl');
  const file = await client.files.create({ file: upload, purpose: 'batch' });
  const begun = await client.batches.create({
    input_file_id: file.id,
    endpoint: '/v1/chat/completions',
    completion_window: '24h',
    metadata: { of: 'the tests' },
  });
  let done = begun;
  while (['validating', 'in_progress', 'finalizing'].includes(done.status)) {
    await sleep(10);
    done = await client.batches.retrieve(begun.id);
  }
  const answers = [];
  for (const part of [done.output_file_id, done.error_file_id]) {
    const content = await (await client.files.content(part)).text();
    answers.push(...content.trim().split('\n').map((line) => JSON.parse(line)));
  }
  const list = await collected(await client.batches.list({ limit: 5 }));
  const listed = list.filter((one) => one.id === begun.id);
  const output = plain(await client.files.retrieve(done.output_file_id));
  return [plain(file), plain(begun), plain(done), answers, listed, output];
}

async function call(example) {
  return (await calling(example))();
}

// Returns what makes the call, as files are made ready before.
async function calling({ call, positional = [], arguments: body, key }) {
  const client = new OpenAI(key ? { ...OPTIONS, apiKey: key } : OPTIONS);
  const path = call.split('.');
  const name = path.pop();
  const resource = path.reduce((part, step) => part[step], client);
  const sent = body && Object.fromEntries(await Promise.all(Object.entries(body).map(given)));
  return () => resource[name](...positional, ...(sent ? [sent] : []));
}

// Returns a file where a case asks for one: its name, and how many bytes it has.
async function given([name, value]) {
  if (value?.file === undefined) return [name, value];
  const bytes = Uint8Array.from({ length: value.bytes }, (_, n) => (n * 7) % 251);
  return [name, await toFile(bytes, value.file)];
}

async function whole(answer, example) {
  if (typeof answer === 'string') return { text: answer };
  if (typeof answer.arrayBuffer === 'function') {
    const bytes = Buffer.from(await answer.arrayBuffer());
    const lines = /^(data)?: /.test(bytes) ? bytes.toString().split('\n') : [];
    // Comments, which keep it alive, are no part of what an event stream says.
    const events = lines.filter((line) => line.startsWith('data: '));
    if (lines.length > 0) return { events: events.map((line) => JSON.parse(line.slice(6))) };
    return { bytes: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') };
  }
  const isStream = answer.controller instanceof AbortController;
  return isStream ? collected(answer, example.cancel_after) : plain(answer);
}

async function collected(answer, cancelAfter) {
  const parts = [];
  for await (const part of answer) {
    parts.push(plain(part));
    // Leaving the loop aborts the request.
    if (parts.length === cancelAfter) break;
  }
  return parts;
}

function plain(answer) {
  const copy = JSON.parse(JSON.stringify(answer));
  // A page carries the client and its options, which are not what the provider said.
  delete copy.options;
  return answer._request_id ? { ...copy, request_id: answer._request_id } : copy;
}

function named(headers) {
  // Version 4 has plain objects.
  return Object.fromEntries(headers.entries?.() ?? Object.entries(headers));
}

function refusal({ constructor, status, code, param, type, message }) {
  return { error: constructor.name, status, code, param, type, message };
}

main();
