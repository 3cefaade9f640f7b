// Plays every case with openai-node, one after the other and then at once, and prints what came
// back as JSON.
//
// Usage: play.cjs CASES SDK, where SDK is the folder whose node_modules has the SDK, with
// OPENAI_BASE_URL and OPENAI_API_KEY as the SDK itself reads them.

'use strict';

const fs = require('node:fs');
const { createRequire } = require('node:module');

const [casesPath, sdkFolder] = process.argv.slice(2);
const { OpenAI, APIError, toFile } = createRequire(`${sdkFolder}/`)('openai');
const OPTIONS = { maxRetries: 0, timeout: 60_000 };

async function main() {
  const cases = JSON.parse(fs.readFileSync(casesPath, 'utf8'));
  const transcript = [];
  for (const example of cases) transcript.push(await play('serial', example));
  transcript.push(await files());
  transcript.push(...(await Promise.all(cases.map((example) => play('parallel', example)))));
  fs.writeFileSync(1, JSON.stringify(transcript));
}

async function play(manner, example) {
  let said;
  try {
    const answer = await call(example);
    said = example.arguments?.stream ? await collected(answer) : plain(answer);
  } catch (error) {
    if (!(error instanceof APIError)) throw error;
    said = refusal(error);
  }
  return { case: `${manner} ${example.name}`, said };
}

async function files() {
  const client = new OpenAI(OPTIONS);
  const line = '{"custom_id":"1","method":"POST","url":"/v1/chat/completions","body":{}}\n';
  const file = await toFile(Buffer.from(line), 'requests.jsonl');
  const made = await client.files.create({ file, purpose: 'batch' });
  const found = await client.files.retrieve(made.id);
  const listed = (await collected(await client.files.list())).filter((one) => one.id === made.id);
  const content = await (await client.files.content(made.id)).text();
  const deleted = await client.files.delete(made.id);
  const names = listed.map((one) => one.filename);
  const said = [plain(made), plain(found), names, content === line, plain(deleted)];
  return { case: 'serial files', said };
}

function call({ call, positional = [], arguments: body, key }) {
  const client = new OpenAI(key ? { ...OPTIONS, apiKey: key } : OPTIONS);
  const path = call.split('.');
  const name = path.pop();
  const resource = path.reduce((part, step) => part[step], client);
  return resource[name](...positional, ...(body ? [body] : []));
}

async function collected(answer) {
  const parts = [];
  for await (const part of answer) parts.push(plain(part));
  return parts;
}

function plain(answer) {
  const copy = JSON.parse(JSON.stringify(answer));
  // A page carries the client and its options, which are not what the provider said.
  delete copy.options;
  return answer._request_id ? { ...copy, request_id: answer._request_id } : copy;
}

function refusal({ constructor, status, code, param, type, message }) {
  return { error: constructor.name, status, code, param, type, message };
}

main();
