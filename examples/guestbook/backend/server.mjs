// The guestbook's backend: entries in a file, appended and synced before they are acknowledged.
//
//   GET  /api/entries   {"entries": [{"name", "text", "at"}], "served_by", "greeting"}
//   POST /api/entries   {"name", "text"} with the header Authorization: Bearer TOKEN, if TOKEN is set
//   GET  /healthz       200 while entries can be read and written
//
// PORT (8080), DATA (/data), GREETING and TOKEN come from the environment.
import { createServer } from 'node:http';
import { open, readFile, mkdir } from 'node:fs/promises';
import { hostname } from 'node:os';
import { timingSafeEqual } from 'node:crypto';

const port = Number(process.env.PORT ?? 8080);
const folder = process.env.DATA ?? '/data';
const token = process.env.TOKEN ?? '';
const longest = { name: 80, text: 1000, body: 8192, entries: 500 };

await mkdir(folder, { recursive: true });
const path = `${folder}/entries.jsonl`;

// A last line that a crash cut short was never acknowledged: it is left out, and ended.
const before = await readFile(path, 'utf8').catch((error) => {
  if (error.code === 'ENOENT') return '';
  throw error;
});
const entries = before.split('\n').flatMap((line) => {
  try {
    return line ? [JSON.parse(line)] : [];
  } catch {
    return [];
  }
});
const file = await open(path, 'a');
if (before && !before.endsWith('\n')) await file.write('\n');

let writing = Promise.resolve();
function keep(entry) {
  writing = writing.catch(() => {}).then(async () => {
    await file.write(`${JSON.stringify(entry)}\n`);
    await file.sync();
    entries.push(entry);
  });
  return writing;
}

function send(response, status, value) {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(`${JSON.stringify(value)}\n`);
}

function isAllowed(request) {
  if (!token) return true;
  const given = Buffer.from(request.headers.authorization ?? '');
  const wanted = Buffer.from(`Bearer ${token}`);
  return given.length === wanted.length && timingSafeEqual(given, wanted);
}

async function read(request) {
  let text = '';
  for await (const piece of request) {
    text += piece;
    if (text.length > longest.body) throw Object.assign(new Error('the entry is too long'), { status: 413 });
  }
  let given;
  try {
    given = JSON.parse(text);
  } catch {
    throw Object.assign(new Error('the body is no JSON'), { status: 400 });
  }
  for (const field of ['name', 'text']) {
    const value = given?.[field];
    if (typeof value !== 'string' || !value.trim() || value.length > longest[field]) {
      throw Object.assign(new Error(`${field} must be 1 to ${longest[field]} characters`), { status: 422 });
    }
  }
  return { name: given.name.trim(), text: given.text.trim(), at: new Date().toISOString() };
}

async function answer(request, response) {
  const { pathname } = new URL(request.url, 'http://backend');
  if (pathname === '/healthz') {
    await file.sync();
    return send(response, 200, { ok: true });
  }
  if (pathname !== '/api/entries') return send(response, 404, { error: 'there is nothing here' });
  if (request.method === 'GET') {
    const newest = entries.slice(-longest.entries).reverse();
    return send(response, 200, { entries: newest, served_by: hostname(), greeting: process.env.GREETING ?? '' });
  }
  if (request.method !== 'POST') return send(response, 405, { error: 'GET or POST' });
  if (!isAllowed(request)) return send(response, 401, { error: 'the token is missing or wrong' });
  const entry = await read(request);
  await keep(entry);
  send(response, 201, entry);
}

const server = createServer((request, response) => {
  answer(request, response).catch((error) => {
    if (!error.status) console.error(error);
    send(response, error.status ?? 500, { error: error.status ? error.message : 'the entry could not be kept' });
  });
});
server.keepAliveTimeout = 75_000;
server.listen(port, () => console.log(`backend on port ${port}, ${entries.length} entries in ${path}`));

// Kubernetes sends SIGTERM when the pod is to go: finish what is in flight.
process.on('SIGTERM', () => {
  server.close(() => process.exit(0));
  server.closeIdleConnections();
});
