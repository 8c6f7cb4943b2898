// The guestbook's frontend: the built page from dist/, and /api handed on to the backend's Service.
//
// PORT (8080), BACKEND (http://backend:8080) and TOKEN come from the environment. The token stays
// here: a browser never sees it.
import { createServer, request as ask, Agent } from 'node:http';
import { readFile, readdir } from 'node:fs/promises';
import { extname, join, relative } from 'node:path';
import { hostname } from 'node:os';
import { fileURLToPath } from 'node:url';

const port = Number(process.env.PORT ?? 8080);
const backend = new URL(process.env.BACKEND ?? 'http://backend:8080');
const folder = fileURLToPath(new URL('dist', import.meta.url));
const types = { '.html': 'text/html; charset=utf-8', '.js': 'text/javascript', '.css': 'text/css', '.svg': 'image/svg+xml' };
const patience_ms = 10_000;

// The page is small: it is read once, and no path of a request ever touches the disk.
const pages = new Map();
for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
  if (!entry.isFile()) continue;
  const path = join(entry.parentPath ?? entry.path, entry.name);
  pages.set(`/${relative(folder, path)}`, { body: await readFile(path), type: types[extname(path)] ?? 'application/octet-stream' });
}

const agent = new Agent({ keepAlive: true, maxSockets: 64 });

function handOn(request, response) {
  const { authorization, host, connection, ...headers } = request.headers;
  if (process.env.TOKEN) headers.authorization = `Bearer ${process.env.TOKEN}`;
  const outgoing = ask(
    { agent, hostname: backend.hostname, port: backend.port || 80, path: request.url, method: request.method, headers: { ...headers, host: backend.host } },
    (incoming) => {
      const { connection: _, 'keep-alive': __, ...kept } = incoming.headers;
      response.writeHead(incoming.statusCode, { ...kept, 'x-served-by': hostname() });
      incoming.pipe(response);
    },
  );
  outgoing.setTimeout(patience_ms, () => outgoing.destroy(new Error('no answer')));
  outgoing.on('error', (error) => {
    console.error(`${request.method} ${request.url}: ${error.message}`);
    if (response.headersSent) return response.destroy();
    response.writeHead(502, { 'content-type': 'application/json', 'x-served-by': hostname() });
    response.end(JSON.stringify({ error: 'the backend does not answer; the page tries again by itself' }));
  });
  response.on('close', () => outgoing.destroy());
  request.pipe(outgoing);
}

const server = createServer((request, response) => {
  const { pathname } = new URL(request.url, 'http://frontend');
  if (pathname.startsWith('/api/')) return handOn(request, response);
  if (pathname === '/healthz') return response.end('ok\n');
  const page = pages.get(pathname === '/' ? '/index.html' : pathname);
  if (!page) {
    response.writeHead(404, { 'content-type': 'text/plain' });
    return response.end('there is nothing here\n');
  }
  const cache = pathname.startsWith('/assets/') ? 'public, max-age=31536000, immutable' : 'no-cache';
  response.writeHead(200, { 'content-type': page.type, 'cache-control': cache, 'x-served-by': hostname() });
  response.end(page.body);
});
server.keepAliveTimeout = 75_000;
server.listen(port, () => console.log(`frontend on port ${port}, ${pages.size} files, backend ${backend.href}`));

process.on('SIGTERM', () => {
  server.close(() => process.exit(0));
  server.closeIdleConnections();
});
